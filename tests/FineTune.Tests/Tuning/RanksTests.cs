using Asft.Distributed.Tests;
using Asft.Interop;
using Asft.Kernels;
using FineTune.Checkpoint;
using FineTune.Report;
using FineTune.Tests.Checkpoint;
using FineTune.Transformer;
using FineTune.Tuning;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Tests.Tuning;

/// <summary>Ranks that divide the rows of a step train as one process does, from what the first of them reads, also when they go on.</summary>
public class RanksTests : TuningTest
{
    private const int Steps = 4;

    [Test]
    public void ATrainingOfTwoRanksIsThatOfOne()
    {
        TinyCheckpoint.Make(PathOf("start"), "qwen2");
        MakeZeros(from: "start", to: "zeros");
        Train(Options("one"), group: null);

        // The second rank finds other weights, and no state: nobody asks for them. It is also the only one that is told to stop.
        ThreadGroup.Run(2, group =>
        {
            using var stop = new CancellationTokenSource();
            Assert.That(
                () => Train(Own(group), group, new StopAfter(2, group.Rank == 1 ? stop : null), stop.Token), Throws.InstanceOf<OperationCanceledException>());
        });
        ThreadGroup.Run(2, group => Train(Own(group) with { Resume = true }, group));

        AssertClose(Means("two"), Means("one"), 1e-4);
        Assert.That(Directory.Exists(PathOf("nowhere")), Is.False, "one rank writes");
        Assert.That(File.Exists(Path.Combine(PathOf("two"), ModelConfig.FileName)), "the checkpoint");

        TrainOptions Own(IProcessGroup group) => group.Rank == 0 ? Options("two") : Options("nowhere") with { Model = PathOf("zeros") };
    }

    private TrainOptions Options(string output) => new()
    {
        Model = PathOf("start"),
        Data = "data",
        Output = PathOf(output),
        Objective = LossObjective.Asft(0.5),
        Mode = "asft",
        Steps = Steps,
        Batch = 5,
        Rows = 2,
        Length = 16,
        LearningRate = 1e-2,
    };

    private static void Train(TrainOptions options, IProcessGroup? group, ITrainingLog? log = null, CancellationToken stop = default)
    {
        using var run = new TrainingRun(options, Data, padding: 0, group);
        run.Run(log ?? new NoLog(), stop);
    }

    private void MakeZeros(string from, string to)
    {
        using Decoder model = CheckpointReader.Load(PathOf(from));
        using var noGrad = no_grad();
        foreach ((_, Parameter parameter) in model.Weights)
        {
            parameter.zero_();
        }

        Directory.CreateDirectory(PathOf(to));
        CheckpointWriter.Write(PathOf(to), PathOf(from), model);
    }

    /// <summary>The optimizer's means of gradients at the end, which depend on all steps.</summary>
    private float[] Means(string output)
    {
        using var file = SafeTensorsFile.Open(Path.Combine(PathOf(output), TuningState.FileName));
        Assert.That(file.Metadata["step"], Is.EqualTo($"{Steps}"));
        using Decoder model = CheckpointReader.Load(PathOf("start"));
        var means = new List<float>();
        foreach ((string name, Parameter parameter) in model.Trained)
        {
            Tensor mean = zeros(parameter.shape);
            file.Read(name + ".mean", mean);
            means.AddRange(Values(mean));
        }

        return [.. means];
    }

    private sealed class StopAfter(int step, CancellationTokenSource? stop) : ITrainingLog
    {
        public void Report(TrainingStep done)
        {
            if (done.Step == step)
            {
                stop?.Cancel();
            }
        }

        public void Note(string message)
        {
        }
    }
}
