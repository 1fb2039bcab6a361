using System.Diagnostics;
using Asft.Kernels;
using FineTune.Checkpoint;
using FineTune.Report;
using FineTune.Text;
using FineTune.Transformer;
using FineTune.Tuning;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace Asft.Bench.Training;

/// <summary>
/// The command <c>train</c> on a checkpoint of 24.9 M parameters: with its log and a state saved in every 50 steps, which is more often than usual, and
/// without either.
/// </summary>
internal sealed class RunProblem : IDisposable
{
    private const int Length = 512;
    private const string Config =
        """
        {"model_type": "llama", "hidden_act": "silu", "hidden_size": 256, "intermediate_size": 1048, "num_hidden_layers": 8, "vocab_size": 32000,
         "num_attention_heads": 8, "max_position_embeddings": 512, "rms_norm_eps": 1e-6}
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("asft-run-").FullName;
    private readonly TokenizedExample[] _examples;

    public RunProblem()
    {
        File.WriteAllText(Path.Combine(_folder, ModelConfig.FileName), Config);
        using var model = new Decoder(ModelConfig.Read(_folder), ScalarType.Float32);
        using (no_grad())
        {
            foreach ((_, Parameter parameter) in model.Weights.Where(entry => entry.Parameter.dim() > 1))
            {
                parameter.normal_(0, 0.02);
            }
        }

        CheckpointWriter.Write(_folder, _folder, model);
        var random = new Random(1);
        _examples =
        [
            .. Enumerable.Range(0, 2).Select(_ => new TokenizedExample(
                [.. Enumerable.Range(0, Length).Select(_ => random.Next(model.Config.Vocabulary))], Length / 2)),
        ];
    }

    /// <summary>Seconds of as many steps, after a first one.</summary>
    public double Seconds(int steps, bool logs)
    {
        string output = Path.Combine(_folder, "tuned");
        using var run = new TrainingRun(
            new TrainOptions
            {
                Model = _folder,
                Data = string.Empty,
                Output = output,
                Objective = LossObjective.Sft,
                Mode = "sft",
                Steps = steps + 1,
                Batch = 2,
                Length = Length,
                SaveEvery = logs ? 50 : int.MaxValue,
            },
            _examples,
            padding: 0);
        using (MetricsFile? metrics = logs ? MetricsFile.Open(Path.Combine(output, TrainingLog.MetricsName), 0) : null)
        {
            var watch = new Watch(metrics, logs ? new PlainLog(TextWriter.Null, TimeSpan.FromSeconds(2)) : null);
            run.Run(watch, CancellationToken.None);
            Directory.Delete(output, recursive: true);
            return Stopwatch.GetElapsedTime(watch.First, watch.Last).TotalSeconds;
        }
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private sealed class Watch(ITrainingLog? first, ITrainingLog? second) : ITrainingLog
    {
        public long First { get; private set; }

        public long Last { get; private set; }

        public void Report(TrainingStep step)
        {
            Last = Stopwatch.GetTimestamp();
            First = step.Step == 1 ? Last : First;
            first?.Report(step);
            second?.Report(step);
        }

        public void Note(string message)
        {
            // The end of the run, which is not timed.
        }
    }
}
