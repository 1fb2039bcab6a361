using Asft.Bench.Figures;
using Asft.Bench.Measuring;
using Asft.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Bench.Foundation;

/// <summary>
/// A linear model trained for many steps. What the garbage collector and the allocators set aside grows for the first few thousand,
/// with or without a loss; after that, nothing may.
/// </summary>
public static class TrainingSteps
{
    private const int Settled = 10_000;

    public static IEnumerable<Figure> Growth(int steps)
    {
        foreach (bool inPlace in new[] { false, true })
        {
            (long native, long managed) = Growth(steps, inPlace);
            string name = $"growth of memory over {steps} steps, {(inPlace ? "inPlace" : "default")}";
            yield return Figure.AtMost(name + ", resident", "[64, 4096]", native / 1e6, 2, 1, " MB");
            yield return Figure.AtMost(name + ", managed", "[64, 4096]", managed / 1e6, 0.2, 0.1, " MB");
        }
    }

    private static (long Native, long Managed) Growth(int steps, bool inPlace)
    {
        using DisposeScope outer = NewDisposeScope();
        manual_seed(1);
        Tensor hidden = randn(64, 32);
        Tensor weight = randn(32, 4096);
        weight.requires_grad = true;
        Tensor reference = randn(64, 4096);
        Tensor labels = randint(0, 4096, [64], ScalarType.Int64);
        long native = 0;
        long managed = 0;
        for (int step = 1; step <= Settled + steps; step++)
        {
            using (DisposeScope scope = NewDisposeScope())
            {
                Tensor loss = AsftFunctional.asft_loss(hidden.mm(weight), labels, reference, inPlace: inPlace);
                loss.backward();
                using (no_grad())
                {
                    weight.sub_(weight.grad! * 0.1);
                }

                weight.grad = null;
            }

            if (step == Settled)
            {
                (native, managed) = (ResidentMemory.Now, GC.GetTotalMemory(forceFullCollection: true));
            }
        }

        managed = GC.GetTotalMemory(forceFullCollection: true) - managed;
        return (ResidentMemory.Now - native, managed);
    }
}
