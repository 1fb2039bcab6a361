using FineTune.Checkpoint;
using FineTune.Tests.Checkpoint;
using FineTune.Text;
using FineTune.Transformer;
using FineTune.Tuning;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Tests.Tuning;

/// <summary>A test with a tiny checkpoint and some examples.</summary>
[NonParallelizable]
public abstract class TuningTest : OutputDirectory
{
    private DisposeScope scope = null!;
    private int threads;

    /// <summary>Examples of different lengths; some have no prompt, and of one nothing is to be learned.</summary>
    private protected static TokenizedExample[] Data { get; } = MakeData();

    [SetUp]
    public void OpenScope()
    {
        // Tensors here are tiny: on a busy machine, torch's threads would mostly wait for each other.
        threads = get_num_threads();
        set_num_threads(1);
        scope = NewDisposeScope();
        manual_seed(3);
    }

    [TearDown]
    public void CloseScope()
    {
        scope.Dispose();
        set_num_threads(threads);
    }

    private protected Decoder Load(string config = "qwen2", ScalarType type = ScalarType.Float32)
    {
        string folder = PathOf(config);
        if (!Directory.Exists(folder))
        {
            TinyCheckpoint.Make(folder, config);
        }

        return CheckpointReader.Load(folder, type);
    }

    private protected static LoraOptions Lora(double dropout = 0) => new(Rank: 3, Alpha: 6, dropout, LoraOptions.AllTargets);

    /// <summary>Adapters that change the model.</summary>
    private protected static void AddAdapters(Decoder model, LoraOptions options)
    {
        manual_seed(3);
        model.AddAdapters(options);
        using var noGrad = no_grad();
        foreach ((_, Parameter parameter) in model.Trained)
        {
            parameter.normal_(0, 0.2);
        }
    }

    private protected static MicroBatch Rows(params int[][] rows) => MicroBatch.Of(Data, rows, padding: 0);

    /// <summary>The gradients of a step, which the optimizer's means are a tenth of at the first.</summary>
    private protected static float[] Gradients(Tuner tuner) =>
        [.. tuner.Optimizer.State.Where(entry => entry.Name.EndsWith(".mean", StringComparison.Ordinal)).SelectMany(entry => Values(entry.Tensor))];

    private protected static float[] Values(Tensor tensor) => [.. tensor.detach().to(ScalarType.Float32).contiguous().data<float>()];

    private protected static void AssertClose(float[] actual, float[] expected, double tolerance)
    {
        Assert.That(actual, Has.Length.EqualTo(expected.Length));
        float largest = expected.Max(Math.Abs);
        Assert.That(largest, Is.GreaterThan(0), "there is something to compare");
        Assert.That(actual.Zip(expected, (a, b) => Math.Abs(a - b)).Max() / largest, Is.LessThan(tolerance));
    }

    private static TokenizedExample[] MakeData()
    {
        var random = new Random(5);
        return
        [
            .. Enumerable.Range(0, 10).Select(i =>
            {
                int length = 3 + random.Next(9);
                int[] tokens = [.. Enumerable.Range(0, length).Select(_ => random.Next(TinyCheckpoint.Vocabulary))];
                return new TokenizedExample(tokens, i == 4 ? length : random.Next(length));
            }),
        ];
    }
}
