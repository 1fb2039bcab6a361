using Asft.Kernels.Ilgpu;
using Asft.PtxVm.Driver;

namespace Asft.Kernels.Tests.Ilgpu;

/// <summary>Chunks, buffers that are kept, allocations and the end of a kernel.</summary>
[TestFixtureSource(typeof(Devices), nameof(Devices.Fixtures))]
public unsafe class MemoryTests(string device)
{
    private static RandomCase Case(ElementType type, bool inPlace) =>
        new(LossObjective.Asft() with { LabelSmoothing = 0.1 }, 23, 301, type, type, 7, inPlace, 8);

    [Test]
    public void ChunksOfAnySizeGiveTheSameBits([Values(1, 5000, 20_000)] long bytes)
    {
        // From less than a row to most of them.
        using var kernel = new IlgpuTokenLossKernel(Devices.Named(device), bytes);
        foreach (bool inPlace in new[] { false, true })
        {
            using KernelRun whole = Case(ElementType.Float32, inPlace).Run();
            using KernelRun chunks = Case(ElementType.Float32, inPlace).Run();
            whole.Forward(Devices.Kernel(device), inPlace);
            chunks.Forward(kernel, inPlace);
            Assert.That(chunks.Bits(), Is.EqualTo(whole.Bits()), $"in place {inPlace}");
        }
    }

    [Test]
    public void SmallerAndLargerCallsShareTheBuffers()
    {
        using var kernel = new IlgpuTokenLossKernel(Devices.Named(device), 1 << 20);
        foreach (int rows in new[] { 1, 9, 2, 40, 3 })
        {
            RandomCase test = Case(ElementType.Float32, false) with { Rows = rows };
            using KernelRun fresh = test.Run();
            using KernelRun reused = test.Run();
            fresh.Forward(Devices.Kernel(device));
            reused.Forward(kernel);
            Assert.That(reused.Bits(), Is.EqualTo(fresh.Bits()), $"{rows} rows");
        }
    }

    [Test]
    public void NothingIsAllocatedAfterWarmUp([Values] bool backward)
    {
        const int Calls = 10;
        if (LibCuda.IsThere && device.StartsWith("ilgpu:cuda", StringComparison.Ordinal))
        {
            Assert.Ignore("the driver is the virtual machine, which allocates on the caller's thread");
        }

        IlgpuTokenLossKernel kernel = Devices.Kernel(device);
        using KernelRun run = Case(ElementType.Float32, false).Run();
        TokenGradient gradient = new() { Logits = run.Gradient, Scale = 1 };
        void Call()
        {
            if (backward)
            {
                kernel.Backward(run.Problem, run.Outputs, gradient);
            }
            else
            {
                kernel.Forward(run.Problem, run.Outputs, gradient);
            }
        }

        for (int i = 0; i < 10; i++)
        {
            Call();
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < Calls; i++)
        {
            Call();
        }

        // ILGPU's CPU accelerator makes an object of its own for each launch, of which a call has two.
        long perCall = (GC.GetAllocatedBytesForCurrentThread() - before) / Calls;
        Assert.That(perCall, Devices.Named(device).IsEmulated ? Is.LessThan(1024) : Is.Zero);
    }

    [Test]
    public void CallsFromSeveralThreadsTakeTurns()
    {
        IlgpuTokenLossKernel kernel = Devices.Kernel(device);
        using KernelRun first = Case(ElementType.Float32, false).Run();
        first.Forward(kernel);
        byte[] bits = first.Bits();
        Parallel.For(0, 4, _ =>
        {
            using KernelRun run = Case(ElementType.Float32, false).Run();
            run.Forward(kernel);
            Assert.That(run.Bits(), Is.EqualTo(bits));
        });
    }

    [Test]
    public void ADisposedKernelSaysSo()
    {
        var kernel = new IlgpuTokenLossKernel(Devices.Named(device));
        using KernelRun run = Case(ElementType.Float32, false).Run();
        run.Forward(kernel);
        kernel.Dispose();
        kernel.Dispose();
        Assert.Throws<ObjectDisposedException>(() => run.Forward(kernel));
    }

    [Test]
    public void TheChunkSizeIsChecked([Values(0L, -1L)] long bytes) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new IlgpuTokenLossKernel(Devices.Named(device), bytes));
}
