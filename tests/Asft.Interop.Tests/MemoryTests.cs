using System.Diagnostics;
using System.Globalization;
using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>Memory is given back when a step is over, not when the garbage collector comes by, and there is no more of it than needed.</summary>
[NonParallelizable]
[TestFixtureSource(typeof(LossPath), nameof(LossPath.Fast))]
public class MemoryTests(string path)
{
    private const long Rows = 48;
    private const long Vocabulary = 1024;

    /// <summary>Rows of a gradient that is no large one; see <see cref="GradientGraph.IsLarge"/>.</summary>
    private const long SmallRows = 15;

    private int _threads;
    private IDisposable? _path;

    /// <summary>Kinds of step, each a forward and a backward pass with all that is made disposed by hand.</summary>
    private static readonly Dictionary<string, Action<Tensor, Tensor, Tensor>> s_steps = new()
    {
        ["mean"] = (x, r, y) => Step(x, z => AsftFunctional.asft_loss(z, y, r)),
        ["mean, in place"] = (x, r, y) => Step(x, z => AsftFunctional.asft_loss(z, y, r, inPlace: true)),
        ["mean, upstream gradient"] = (x, r, y) => Step(x, z => AsftFunctional.asft_loss(z, y, r), 0.3),
        ["mean, in place, upstream gradient"] = (x, r, y) => Step(x, z => AsftFunctional.asft_loss(z, y, r, inPlace: true), 0.3),
        ["mean, twice"] = (x, r, y) => Step(x, z => AsftFunctional.asft_loss(z, y, r), times: 2),
        ["mean, small"] = (x, r, y) =>
        {
            using Tensor few = x.narrow(0, 0, 2);
            using Tensor reference = r.narrow(0, 0, 2);
            using Tensor labels = y.narrow(0, 0, 2);
            using Tensor loss = AsftFunctional.asft_loss(few, labels, reference);
            loss.backward(retain_graph: true);
            loss.backward();
            ClearGradient(x);
        },
        ["none"] = (x, r, y) => Step(x, z => AsftFunctional.asft_loss(z, y, r, reduction: Reduction.None)),
        ["none, in place"] = (x, r, y) => Step(x, z => AsftFunctional.asft_loss(z, y, r, reduction: Reduction.None, inPlace: true)),
        ["shifted, reference not read"] = (x, r, y) => Step(x, z => AsftFunctional.asft_loss(z, y, r, LossObjective.Dft, shiftLabels: true)),
        ["no backward"] = (x, r, y) => AsftFunctional.asft_loss(x, y, r).Dispose(),
        ["no backward, in place"] = (x, r, y) =>
        {
            using Tensor logits = x.clone();
            AsftFunctional.asft_loss(logits, y, r, inPlace: true).Dispose();
        },
        ["halves, in place"] = (x, r, y) =>
        {
            using Tensor logits = x.clone();
            using Tensor first = logits.narrow(0, 0, Rows / 2);
            using Tensor second = logits.narrow(0, Rows / 2, Rows / 2);
            using Tensor labels = zeros([Rows / 2], ScalarType.Int64);
            using Tensor loss = AsftFunctional.asft_loss(first, labels, objective: LossObjective.Dft, inPlace: true);
            using Tensor other = AsftFunctional.asft_loss(second, labels, objective: LossObjective.Dft, inPlace: true);
            using Tensor sum = loss + other;
            sum.backward();
            ClearGradient(x);
        },
        ["no graph"] = (x, r, y) =>
        {
            using (no_grad())
            {
                AsftFunctional.asft_loss(x, y, r).Dispose();
            }
        },
        ["metrics"] = (x, r, y) =>
        {
            using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(x, y, r);
            result.Loss.backward();
            ClearGradient(x);
        },
        ["metrics of each"] = (x, r, y) =>
        {
            using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(x, y, r, reduction: Reduction.None);
            using Tensor sum = result.Loss.sum();
            sum.backward();
            ClearGradient(x);
        },
        ["strided"] = (x, r, y) =>
        {
            using Tensor reference = r.t();
            using Tensor labels = zeros([Vocabulary], ScalarType.Int64);
            Step(x, z =>
            {
                using Tensor view = z.t();
                return AsftFunctional.asft_loss(view, labels, reference, inPlace: true);
            });
        },
    };

    /// <summary>One thread: there is nothing here to make faster, and threads that wait for each other on a busy machine take long.</summary>
    [OneTimeSetUp]
    public void UseOneThread()
    {
        _threads = get_num_threads();
        set_num_threads(1);
        _path = LossPath.Take(path);
        Settle();
    }

    [OneTimeTearDown]
    public void UseThreadsAgain()
    {
        set_num_threads(_threads);
        _path?.Dispose();
    }

    /// <summary>
    /// Every wrapper, every graph node and every byte that a step made is gone after it, without a garbage collection. All kinds in one test, as
    /// each collection before it goes through the heap of the whole suite.
    /// </summary>
    [Test]
    public void StepsLeaveNothing([Values(ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16)] ScalarType type)
    {
        using Tensor logits = RandomLogits(type).requires_grad_();
        using Tensor reference = RandomLogits(type);
        using Tensor labels = zeros([Rows], ScalarType.Int64);
        foreach (Action<Tensor, Tensor, Tensor> step in s_steps.Values)
        {
            step(logits, reference, labels);
        }

        Settle();

        // Anything left to a finalizer would be counted still, if none could run.
        bool noCollections = GC.TryStartNoGCRegion(64 << 20);
        try
        {
            foreach ((string kind, Action<Tensor, Tensor, Tensor> step) in s_steps)
            {
                long tensors = Tensor.TotalCount;
                int nodes = LiveNodes();
                for (int i = 0; i < 4; i++)
                {
                    step(logits, reference, labels);
                }

                Assert.That(Tensor.TotalCount, Is.EqualTo(tensors), $"tensors, {kind}");
                Assert.That(LiveNodes(), Is.EqualTo(nodes), $"graph nodes, {kind}");
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

    /// <summary>Neither the process nor the managed heap grows, with a dispose scope around each step and without.</summary>
    [Test]
    public void HundredsOfStepsDoNotGrow()
    {
        Repeat(120);
        (long Process, long Managed) before = Memory();
        Repeat(300);
        (long Process, long Managed) after = Memory();

        // A step's logits take 192 KiB, of small ones 60: of one kind of step, all kept would be 56 MiB, or 18. The collector's own heap and the compiler's code
        // settle while warming up.
        Assert.That(after.Process - before.Process, Is.LessThan(16L << 20), "bytes of the process");
        Assert.That(after.Managed - before.Managed, Is.LessThan(512L << 10), "bytes of the managed heap");

        static void Repeat(int times)
        {
            for (int i = 0; i < times; i++)
            {
                GrowingStep(Rows, inPlace: false, inScope: false);
                GrowingStep(Rows, inPlace: false, inScope: true);
                GrowingStep(Rows, inPlace: true, inScope: false);
                GrowingStep(Rows, inPlace: true, inScope: true);
                GrowingStep(SmallRows, inPlace: false, inScope: false);
                GrowingStep(SmallRows, inPlace: true, inScope: true);
            }
        }
    }

    private static void GrowingStep(long rows, bool inPlace, bool inScope)
    {
        if (inScope)
        {
            using DisposeScope scope = NewDisposeScope();
            Tensor leaf = RandomLogits(ScalarType.Float32, rows).requires_grad_();
            AsftFunctional.asft_loss(leaf.clone(), zeros([rows], ScalarType.Int64), RandomLogits(ScalarType.Float32, rows), inPlace: inPlace).backward();
            return;
        }

        using Tensor logits = RandomLogits(ScalarType.Float32, rows).requires_grad_();
        using Tensor labels = zeros([rows], ScalarType.Int64);
        using Tensor reference = RandomLogits(ScalarType.Float32, rows);
        using Tensor computed = logits.clone();
        using Tensor loss = AsftFunctional.asft_loss(computed, labels, reference, inPlace: inPlace);
        loss.backward();
    }

    /// <summary>Failed backward passes, and second ones, leave nothing either.</summary>
    [Test]
    public void FailedBackwardLeavesNothing()
    {
        using Tensor reference = RandomLogits(ScalarType.Float32);
        using Tensor labels = zeros([Rows], ScalarType.Int64);
        TextWriter error = Console.Error;
        Console.SetError(TextWriter.Null);
        try
        {
            Fail();
            Settle();
            long tensors = Tensor.TotalCount;
            int nodes = LiveNodes();
            for (int i = 0; i < 5; i++)
            {
                Fail();
            }

            Assert.That(Tensor.TotalCount, Is.EqualTo(tensors));
            Assert.That(LiveNodes(), Is.EqualTo(nodes));
        }
        finally
        {
            Console.SetError(error);
        }

        void Fail()
        {
            using Tensor logits = RandomLogits(ScalarType.Float32).requires_grad_();
            using Tensor computed = logits.clone();
            using Tensor loss = AsftFunctional.asft_loss(computed, labels, reference, inPlace: true);
            loss.backward(retain_graph: true);
            Assert.That(() => loss.backward(retain_graph: true), Throws.Exception);

            using Tensor changed = RandomLogits(ScalarType.Float32).requires_grad_();
            using Tensor losses = AsftFunctional.asft_loss(changed, labels, reference, reduction: Reduction.None);
            using Tensor sum = losses.sum();
            using (no_grad())
            {
                changed.mul_(changed);
            }

            Assert.That(() => sum.backward(), Throws.Exception);
        }
    }

    /// <summary>
    /// Peak memory above what the caller has: one tensor of the logits' size for the gradient, or with inPlace next to nothing.
    /// </summary>
    [Test]
    [Pairwise]
    [Platform("Linux")]
    public void PeakMemory([Values] bool inPlace, [Values(ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16)] ScalarType type, [Values] Reduction reduction)
    {
        const string Reset = "/proc/self/clear_refs";
        const long Tokens = 512;
        const long Words = 32_768;
        using Tensor logits = RandomLogits(type, Tokens, Words).requires_grad_();
        using Tensor reference = RandomLogits(type, Tokens, Words);
        using Tensor labels = zeros([Tokens], ScalarType.Int64);
        long size = logits.numel() * logits.element_size();
        Step(logits, z => AsftFunctional.asft_loss(z, labels, reference, reduction: reduction, inPlace: inPlace));
        using Tensor computed = logits.clone();
        AsftRuntime.EmptyMemoryCache(); // all that the next step takes shall be seen
        try
        {
            File.WriteAllText(Reset, "5");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            Assert.Ignore("This system does not reset the peak of a process's memory.");
        }

        long before = Status("VmRSS");
        using (Tensor value = AsftFunctional.asft_loss(computed, labels, reference, reduction: reduction, inPlace: inPlace))
        {
            using Tensor upstream = ones_like(value);
            value.backward([upstream]);
        }

        long extra = Status("VmHWM") - before;
        Assert.That(extra, Is.LessThan(inPlace ? 8L << 20 : (long)(1.05 * size) + (8L << 20)), $"{extra / 1048576.0:F1} MiB above logits of {size >> 20} MiB");
        Assert.That(extra, inPlace ? Is.Not.Null : Is.GreaterThan(size / 2), "the measurement sees the gradient");
    }

    /// <summary>A forward and a backward pass, from logits that an operation on the leaf has computed.</summary>
    private static void Step(Tensor leaf, Func<Tensor, Tensor> loss, double upstream = 1, int times = 1)
    {
        using Tensor logits = leaf.clone();
        using Tensor value = loss(logits);
        using Tensor gradient = full(value.shape, upstream, value.dtype);
        for (int i = 0; i < times; i++)
        {
            value.backward([gradient], retain_graph: times > 1);
        }

        ClearGradient(leaf);
    }

    private static void ClearGradient(Tensor logits)
    {
        using Tensor? gradient = logits.grad; // each look at it makes a wrapper
        Assert.That(gradient is not null);
        logits.grad = null;
    }

    private static Tensor RandomLogits(ScalarType type, long rows = Rows, long vocabulary = Vocabulary)
    {
        using Tensor values = rand(rows, vocabulary, ScalarType.Float32);
        return values.to(type, copy: true);
    }

    /// <summary>Bytes of the process in memory, and bytes alive on the managed heap.</summary>
    private static (long Process, long Managed) Memory()
    {
        Settle();
        using var process = Process.GetCurrentProcess();
        return (process.WorkingSet64, GC.GetTotalMemory(forceFullCollection: true));
    }

    /// <summary>Lets finalizers run that other tests have left, so that they do not count here.</summary>
    private static void Settle()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
    }

    private static long Status(string name)
    {
        string line = File.ReadLines("/proc/self/status").First(l => l.StartsWith(name, StringComparison.Ordinal));
        return 1024 * long.Parse(line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }

    /// <summary>How many native nodes of losses there are.</summary>
    private static int LiveNodes() => GradientNode.Alive;
}
