using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests.Linear;

/// <summary>Memory is given back when a step is over, not when the garbage collector comes by.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.Fast))]
public class LinearMemoryTests(string path) : LinearTest(path)
{
    /// <summary>Steps of every kind leave not one tensor behind, with a garbage collection kept from helping.</summary>
    [Test]
    public void StepsLeaveNothing([Values(ScalarType.Float32, ScalarType.BFloat16)] ScalarType type)
    {
        (Reduction Reduction, float Factor, bool Metrics)[] kinds =
        [
            .. from reduction in Enum.GetValues<Reduction>()
               from factor in new[] { 1f, 0.3f }
               from metrics in new[] { false, true }
               select (reduction, factor, metrics),
        ];
        LinearCase inputs = new LinearCase([2, 9], type).Ignore(0.3);
        var options = new LinearLossOptions { WorkspaceBytes = 3000 };
        foreach ((Reduction reduction, float factor, bool metrics) in kinds)
        {
            Step(inputs, options, reduction, factor, metrics);
        }

        GC.Collect();
        GC.WaitForPendingFinalizers();
        bool noCollections = GC.TryStartNoGCRegion(64 << 20);
        try
        {
            foreach ((Reduction reduction, float factor, bool metrics) in kinds)
            {
                long tensors = Tensor.TotalCount;
                for (int i = 0; i < 6; i++)
                {
                    Step(inputs, options, reduction, factor, metrics);
                }

                Assert.That(Tensor.TotalCount, Is.EqualTo(tensors), $"{reduction}, upstream gradient {factor}, metrics {metrics}");
            }
        }
        finally
        {
            if (noCollections)
            {
                GC.EndNoGCRegion();
            }
        }
    }

    private static void Step(LinearCase inputs, LinearLossOptions options, Reduction reduction, float factor, bool metrics)
    {
        using Tensor upstream = reduction == Reduction.None ? full(2, 9, factor) : tensor(factor);
        if (metrics)
        {
            using AsftLossResult result = inputs.Metrics(reduction: reduction, shiftLabels: true, options: options);
            result.Loss.backward([upstream]);
        }
        else
        {
            using Tensor loss = inputs.Loss(reduction: reduction, shiftLabels: true, options: options);
            loss.backward([upstream]);
        }

        foreach (Tensor leaf in (Tensor[])[inputs.Hidden, inputs.Weight, inputs.Bias!])
        {
            using (Tensor gradient = Gradient(leaf))
            {
                leaf.grad = null;
            }
        }
    }

    /// <summary>
    /// A leaf takes the accumulated gradient as it is: for the weight, a copy would be the largest buffer of all.
    /// </summary>
    [Test]
    public void TheGradientIsNotCopied()
    {
        const long Large = 2048;
        using Tensor hidden = randn(8, Large).requires_grad_();
        using Tensor weight = randn(Large, Large).requires_grad_();
        using Tensor labels = zeros([8], ScalarType.Int64);
        using Tensor words = randn(16, Large).requires_grad_();
        void Step(Tensor head)
        {
            using Tensor loss = AsftFunctional.linear_asft_loss(hidden, head, labels, objective: LossObjective.Dft);
            loss.backward();
        }

        Step(words); // compiles the code
        long peak = Peak(() => Step(weight));
        Assert.That(peak, Is.LessThan(1.5 * Large * Large * sizeof(float)));
    }

    /// <summary>
    /// A loss that nobody disposes waits for the garbage collector, and its graph with it; the gradients, which are the weight's by then, do not.
    /// </summary>
    [Test]
    public void ALossThatIsKeptKeepsNoGradient([Values(ScalarType.Float32, ScalarType.BFloat16)] ScalarType type)
    {
        const long Large = 1536;
        const int Steps = 8;
        using Tensor hidden = randn(8, Large).to(type).requires_grad_();
        using Tensor weight = randn(Large, Large).to(type).requires_grad_();
        using Tensor labels = zeros([8], ScalarType.Int64);
        List<Tensor> losses = [];
        void Step()
        {
            losses.Add(AsftFunctional.linear_asft_loss(hidden, weight, labels, objective: LossObjective.Dft));
            losses[^1].backward();
            foreach (Tensor leaf in (Tensor[])[hidden, weight])
            {
                using (Tensor gradient = Gradient(leaf))
                {
                    leaf.grad = null;
                }
            }
        }

        Step();
        long kept = Kept(() =>
        {
            for (int i = 0; i < Steps; i++)
            {
                Step();
            }
        });
        losses.ForEach(loss => loss.Dispose());
        Assert.That(kept, Is.LessThan(Large * Large * sizeof(float) * 2));
    }

    /// <summary>The logits of all rows would be 256 MiB, those of the reference as much, and the workspace is 4.</summary>
    [Test]
    public void NoMoreThanTheWorkspaceHoldsLogits([Values(Reduction.Mean, Reduction.None)] Reduction reduction)
    {
        const long Rows = 16384;
        const long Words = 4096;
        using Tensor hidden = randn(Rows, 8).requires_grad_();
        using Tensor weight = randn(Words, 8).requires_grad_();
        using Tensor reference = randn(Rows, 8);
        using Tensor labels = randint(0, Words, [Rows], ScalarType.Int64);
        long peak = Peak(() =>
        {
            using DisposeScope scope = NewDisposeScope();
            AsftFunctional.linear_asft_loss(
                hidden, weight, labels, reference: reference, reduction: reduction, options: new LinearLossOptions { WorkspaceBytes = 4 << 20 })
                .sum().backward();
        });
        Assert.That(peak, Is.LessThan(32 << 20));
    }

    /// <summary>Most memory resident during an action beyond what was before it; 0 where the system does not tell.</summary>
    private static long Peak(Action action)
    {
        if (!OperatingSystem.IsLinux())
        {
            return 0;
        }

        GC.Collect();
        GC.WaitForPendingFinalizers();
        AsftRuntime.EmptyMemoryCache(); // all that is taken shall be seen
        long before = Status("VmRSS:");
        File.WriteAllText("/proc/self/clear_refs", "5");
        action();
        return Status("VmHWM:") - before;
    }

    /// <summary>Memory resident after an action beyond what was before it; 0 where the system does not tell.</summary>
    private static long Kept(Action action)
    {
        if (!OperatingSystem.IsLinux())
        {
            return 0;
        }

        long before = Status("VmRSS:");
        action();
        return Status("VmRSS:") - before;
    }

    private static long Status(string field) => 1024 * long.Parse(
        File.ReadLines("/proc/self/status").First(line => line.StartsWith(field, StringComparison.Ordinal)).AsSpan(field.Length).Trim().TrimEnd("kB").Trim(),
        System.Globalization.CultureInfo.InvariantCulture);
}
