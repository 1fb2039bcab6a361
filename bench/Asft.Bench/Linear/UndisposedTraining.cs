using System.Runtime.CompilerServices;
using Asft.Bench.Figures;
using Asft.Bench.Measuring;
using Asft.Interop;
using Asft.Kernels;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Bench.Linear;

/// <summary>
/// A training loop as people write it who leave disposing to the garbage collector, with a language model's embedding and head around one
/// hidden layer, and Adam. The collector knows nothing of native memory, and comes seldom.
/// </summary>
internal static class UndisposedTraining
{
    private const long Vocabulary = 50257;
    private const long Width = 768;
    private const long Tokens = 1024;
    private const int Steps = 8;

    /// <summary>The loop's peak memory with the linear loss against that with <c>cross_entropy</c>.</summary>
    public static Figure Peak()
    {
        long linear = ResidentMemory.PeakDuring(() => Train((hidden, head, labels) =>
            AsftFunctional.linear_asft_loss(hidden, head, labels, objective: LossObjective.Sft)));
        long composed = ResidentMemory.PeakDuring(() => Train((hidden, head, labels) => functional.cross_entropy(head.forward(hidden), labels)));
        return Figure.AtMost(
            $"peak memory of {Steps} steps of Adam, nothing disposed, against cross_entropy",
            $"N {Tokens}, d {Width}, V {Vocabulary}",
            (double)linear / composed,
            0.9,
            0.8,
            " x");
    }

    /// <summary>Not inlined: what it leaves must be free to be collected when it is over.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Train(Func<Tensor, TorchSharp.Modules.Linear, Tensor, Tensor> loss)
    {
        manual_seed(1);
        Embedding embedding = Embedding(Vocabulary, Width);
        TorchSharp.Modules.Linear layer = nn.Linear(Width, Width);
        TorchSharp.Modules.Linear head = nn.Linear(Width, Vocabulary, hasBias: false);
        optim.Optimizer adam = optim.Adam([.. embedding.parameters(), .. layer.parameters(), .. head.parameters()]);
        for (int step = 0; step < Steps; step++)
        {
            adam.zero_grad();
            Tensor tokens = randint(0, Vocabulary, [Tokens + 1], ScalarType.Int64);
            Tensor hidden = functional.gelu(layer.forward(embedding.forward(tokens.narrow(0, 0, Tokens))));
            loss(hidden, head, tokens.narrow(0, 1, Tokens)).backward();
            adam.step();
        }
    }
}
