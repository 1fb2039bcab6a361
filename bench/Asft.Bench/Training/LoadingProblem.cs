using System.Diagnostics;
using Asft.Bench.Measuring;
using FineTune.Checkpoint;
using FineTune.Transformer;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace Asft.Bench.Training;

/// <summary>A checkpoint of 500 MB, read from a disk that the system has in memory.</summary>
internal sealed class LoadingProblem : IDisposable
{
    private const string Config =
        """
        {"model_type": "llama", "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 5, "vocab_size": 30000,
         "num_attention_heads": 16, "max_position_embeddings": 2048, "rms_norm_eps": 1e-6}
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("asft-load-").FullName;

    public LoadingProblem()
    {
        File.WriteAllText(Path.Combine(_folder, ModelConfig.FileName), Config);
        using var model = new Decoder(ModelConfig.Read(_folder), ScalarType.Float32);
        using (no_grad())
        {
            foreach ((_, Parameter parameter) in model.Weights)
            {
                parameter.fill_(1);
            }
        }

        CheckpointWriter.Write(_folder, _folder, model);
    }

    /// <summary>Bytes of the weights.</summary>
    public long Bytes => new FileInfo(Path.Combine(_folder, CheckpointIndex.SingleFileName)).Length;

    /// <summary>Seconds of loading it, the median of some times.</summary>
    public double Seconds(int rounds)
    {
        double[] seconds = new double[rounds];
        for (int round = -1; round < rounds; round++)
        {
            long start = Stopwatch.GetTimestamp();
            CheckpointReader.Load(_folder).Dispose();
            if (round >= 0)
            {
                seconds[round] = Stopwatch.GetElapsedTime(start).TotalSeconds;
            }
        }

        return seconds.Order().ElementAt(rounds / 2);
    }

    /// <summary>The most memory while it is loaded, the model's own included, in bytes.</summary>
    public long PeakMemory()
    {
        var meter = PeakMeter.Start();
        using Decoder model = CheckpointReader.Load(_folder);
        return meter.Stop();
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
