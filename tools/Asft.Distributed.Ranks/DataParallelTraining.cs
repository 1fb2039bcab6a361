using Asft.Interop;
using Asft.Kernels;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace Asft.Distributed.Ranks;

/// <summary>Steps on parts of a batch, with unequal numbers of tokens, against the same steps on all of it.</summary>
internal static class DataParallelTraining
{
    private const int Steps = 50;
    private const int Batch = 7;
    private const int Length = 6;
    private const int Features = 5;
    private const int Vocabulary = 23;

    public static void Run(IProcessGroup group)
    {
        foreach (ScalarType type in (ScalarType[])[ScalarType.Float64, ScalarType.Float32])
        {
            foreach (bool adam in (bool[])[false, true])
            {
                Check(group, type, adam);
            }
        }

        Placement(group);
    }

    private static void Check(IProcessGroup group, ScalarType type, bool adam)
    {
        using DisposeScope scope = NewDisposeScope();
        using Linear whole = Model(type, seed: 1);
        using Linear own = Model(type, seed: group.Rank == 0 ? 1 : 100 + group.Rank); // rank 0's is everybody's
        using var parallel = new DataParallel(group, own.parameters(), bucketBytes: 64);
        using optim.Optimizer wholeOptimizer = Optimizer(whole, adam);
        using optim.Optimizer optimizer = Optimizer(own, adam);
        var random = new Random(5);
        for (int step = 0; step < Steps; step++)
        {
            using DisposeScope inner = NewDisposeScope();
            Tensor input = tensor([.. Draws(random, Batch * Length * Features)], dtype: type).reshape(Batch, Length, Features);
            Tensor labels = tensor([.. Enumerable.Range(0, Batch * Length).Select(i => random.Next(i / Length + 2) == 0 ? -100L : random.Next(Vocabulary))])
                .reshape(Batch, Length);
            wholeOptimizer.zero_grad();
            Tensor expected = AsftFunctional.asft_loss(whole.forward(input), labels, objective: LossObjective.Dft);
            expected.backward();
            wholeOptimizer.step();

            (int first, int count) = parallel.Part(Batch).GetOffsetAndLength(Batch);
            optimizer.zero_grad();
            Tensor mine = labels.narrow(0, first, count);
            Tensor loss = AsftFunctional.asft_loss(
                own.forward(input.narrow(0, first, count)), mine, objective: LossObjective.Dft, tokenCount: parallel.TokenCount(mine));
            loss.backward();
            parallel.SumGradients();
            optimizer.step();
            double unit = type == ScalarType.Float64 ? 1e-12 : 1e-5;
            Expect.Close(parallel.Sum(loss), expected, unit, unit, FormattableString.Invariant($"{type} loss of step {step}"));
        }

        foreach ((Tensor actual, Tensor expected) in own.parameters().Zip(whole.parameters()))
        {
            // Adam divides by the root of a squared gradient: what rounding leaves of one that should be 0 is a step.
            double unit = type == ScalarType.Float64 ? 1e-12 : adam ? 1e-4 : 1e-5;
            Expect.Close(actual, expected, unit, unit, $"{type} parameters after {(adam ? "AdamW" : "SGD")}");
            Expect.SameBits(group, actual, $"{type} parameters");
        }
    }

    /// <summary>Gradients are views of buckets, whatever is done with them.</summary>
    private static unsafe void Placement(IProcessGroup group)
    {
        using DisposeScope scope = NewDisposeScope();
        using Linear model = Model(ScalarType.Float32, seed: 2);
        var parallel = new DataParallel(group, model.parameters());
        void* place = Pointer();
        Expect.That((float*)place + (Vocabulary * Features) == TensorMemory.Pointer(model.bias!.grad!), $"the bias's gradient is elsewhere");
        model.zero_grad();
        model.forward(ones(2, Features)).sum().backward();
        parallel.SumGradients();
        Expect.That(place == Pointer(), $"the gradient left its place");
        Expect.Close(model.weight!.grad!, full_like(model.weight, 2 * group.Size), 0, 0, "gradient after zero_grad");
        model.zero_grad();
        parallel.SumGradients();
        Expect.Close(model.weight.grad!, zeros_like(model.weight), 0, 0, "gradient of a step without a loss");
        Expect.Close(parallel.TokenCount(null), tensor(1.0), 0, 0, "count of no tokens");
        Expect.Close(parallel.TokenCount(tensor(new long[] { 1, -100, 2 })), tensor(2.0 * group.Size), 0, 0, "count");
        parallel.Dispose();
        Expect.That(model.weight.grad is null, $"there is a gradient left");

        void* Pointer() => TensorMemory.Pointer(model.weight!.grad!);
    }

    private static Linear Model(ScalarType type, int seed)
    {
        var random = new Random(seed);
        Linear model = nn.Linear(Features, Vocabulary, dtype: type);
        using IDisposable noGrad = no_grad();
        foreach (Tensor parameter in model.parameters())
        {
            parameter.copy_(tensor([.. Draws(random, (int)parameter.numel())], dtype: type).reshape(parameter.shape));
        }

        return model;
    }

    private static optim.Optimizer Optimizer(Linear model, bool adam) =>
        adam ? optim.AdamW(model.parameters(), lr: 1e-2) : optim.SGD(model.parameters(), learningRate: 0.5);

    private static IEnumerable<double> Draws(Random random, int count) => Enumerable.Range(0, count).Select(_ => (random.NextDouble() * 2) - 1);
}
