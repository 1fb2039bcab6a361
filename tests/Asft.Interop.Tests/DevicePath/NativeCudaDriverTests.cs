using Asft.Kernels.Cuda;
using Asft.Kernels.Cuda.Driver;

namespace Asft.Interop.Tests.DevicePath;

/// <summary>The binding of the CUDA driver API, against a driver of functions that write down how they are called.</summary>
[NonParallelizable]
public sealed unsafe class NativeCudaDriverTests
{
    private static readonly CudaLaunch s_launch = new(Function: 0x600, GridX: 1000, GridY: 3, BlockX: 256, Stream: 0);

    /// <summary>Every call that works in a device's context, by the function that it leads to.</summary>
    private static readonly Dictionary<string, Action<NativeCudaDriver>> s_calls = new()
    {
        ["ModuleLoadDataEx"] = driver => driver.LoadModule(0, ".version 7.8"),
        ["ModuleGetFunction"] = driver => driver.GetFunction(0, 0x500, "asft_forward"),
        ["LaunchKernel"] = driver => Launch(driver, 0, s_launch),
        ["LaunchKernelEx"] = driver => Launch(driver, 0, s_launch with { ClusterY = 3 }),
        ["FuncSetAttribute"] = driver => Launch(driver, 0, s_launch with { SharedBytes = 64 }),
        ["OccupancyMaxActiveClusters"] = driver => Assert.That(driver.MostClusters(0, s_launch with { ClusterY = 3 }), Is.EqualTo(33)),
        ["MemGetInfo"] = driver => Assert.That(driver.FreeBytes(0), Is.EqualTo(48L << 30)),
        ["MemAlloc"] = driver => driver.Allocate(0, 64),
        ["MemFree"] = driver => driver.Free(0, (void*)0x1000),
        ["MemHostAlloc"] = driver => driver.FreeHost(0, driver.AllocateHost(0, 64)),
        ["StreamSynchronize"] = driver => driver.Synchronize(0, 0),
    };

    private static IEnumerable<string> Functions => s_calls.Keys;

    [SetUp]
    public void Reset() => FakeCuda.Reset();

    [Test]
    public void DevicesAreDescribedInTheDriversOrder()
    {
        NativeCudaDriver driver = new(FakeCuda.Api());
        Assert.Multiple(() =>
        {
            Assert.That(driver.Name, Is.EqualTo("CUDA driver 12.4"));
            Assert.That(driver.Unavailable, Is.Null);
            Assert.That(driver.Devices, Is.EqualTo(new[]
            {
                new CudaDevice(0, "Fake 0", 9, 0, 132, 80L << 30, 227 << 10),
                new CudaDevice(1, "Fake 1", 7, 5, 132, 80L << 30, 227 << 10),
            }));
            Assert.That(FakeCuda.Calls, Has.None.Contains("Retain"), "looking at devices makes no contexts");
        });
    }

    [Test]
    public void NoLibraryMeansNoDevices()
    {
        NativeCudaDriver driver = new(api: null);
        Assert.That(driver.Devices, Is.Empty);
        Assert.That(driver.Unavailable, Does.Contain(CudaApi.LibraryName));
        Assert.That(() => driver.Synchronize(0, 0), Throws.TypeOf<CudaException>().With.Message.Contains("cuda:0").And.Message.Contains(CudaApi.LibraryName));
    }

    [Test]
    public void ADriverThatDoesNotStartMeansNoDevices()
    {
        FakeCuda.Failing = "Init";
        NativeCudaDriver driver = new(FakeCuda.Api());
        Assert.That(driver.Devices, Is.Empty);
        Assert.That(driver.Unavailable, Does.Contain("CUDA_ERROR_OUT_OF_MEMORY (out of memory)"));
    }

    [Test]
    public void ADriverWithoutDevicesSaysSo()
    {
        FakeCuda.DeviceCount = 0;
        Assert.That(new NativeCudaDriver(FakeCuda.Api()).Unavailable, Does.Contain("no device"));
    }

    /// <summary>On whatever machine this is: the driver is looked for, and what comes of it is no exception.</summary>
    [Test]
    public void ThisMachinesDriverHasDevicesOrSaysWhyNot() =>
        Assert.That(NativeCudaDriver.Instance.Devices.Count > 0, Is.EqualTo(NativeCudaDriver.Instance.Unavailable is null));

    /// <summary>Nothing of a first call that fails is kept: neither its exception nor its memory.</summary>
    [Test]
    public void WhatFailedOnceIsTriedAgain([Values("DevicePrimaryCtxRetain", "MemHostAlloc", "ModuleLoadDataEx")] string function)
    {
        NativeCudaDriver driver = new(FakeCuda.Api());
        var modules = new CudaModules(driver, module => ".version 7.8");
        FakeCuda.Failing = function;
        Assert.That(Use, Throws.TypeOf<CudaException>().With.Message.Contains("out of memory"));
        Assert.That(Count("MemFreeHost("), Is.EqualTo(function == "ModuleLoadDataEx" ? 1 : 0), "memory of the call that failed");
        FakeCuda.Failing = null;
        Assert.That(Use, Throws.Nothing);

        void Use()
        {
            using var kernel = new CudaTokenLossKernel(driver, 0, 0, modules);
            modules.Function(0, "float32", "sums");
        }

        static int Count(string call) => FakeCuda.Calls.Count(made => made.StartsWith(call, StringComparison.Ordinal));
    }

    [Test]
    public void EveryCallRunsInTheDevicesContextAndLeavesTheThreadsAsItWas([ValueSource(nameof(Functions))] string function)
    {
        NativeCudaDriver driver = new(FakeCuda.Api());
        s_calls[function](driver);
        Assert.That(Calls(function), Is.Not.Empty.And.All.EndsWith(" in 140"));
        Assert.That(FakeCuda.Contexts, Is.EqualTo(FakeCuda.UntouchedContexts));
    }

    [Test]
    public void AFailureNamesWhatWasTriedAndTheErrorAndLeavesTheContextAsItWas([ValueSource(nameof(Functions))] string function)
    {
        NativeCudaDriver driver = new(FakeCuda.Api());
        FakeCuda.Failing = function;
        CudaException error = Assert.Throws<CudaException>(() => s_calls[function](driver))!;
        Assert.That(error.Message, Does.Contain("cuda:0").And.Contain(": CUDA_ERROR_OUT_OF_MEMORY (out of memory)."));
        Assert.That(FakeCuda.Contexts, Is.EqualTo(FakeCuda.UntouchedContexts));
    }

    [Test]
    public void AContextThatCannotBeHadIsAnErrorAndNothingIsPopped([Values("CtxPushCurrent", "DevicePrimaryCtxRetain")] string function)
    {
        NativeCudaDriver driver = new(FakeCuda.Api());
        FakeCuda.Failing = function;
        Assert.That(() => driver.Synchronize(1, 0), Throws.TypeOf<CudaException>().With.Message.Contains("primary context of cuda:1"));
        Assert.That(FakeCuda.Contexts, Is.EqualTo(FakeCuda.UntouchedContexts));
        Assert.That(FakeCuda.Calls, Has.None.StartWith("StreamSynchronize"));
    }

    [Test]
    public void EachDeviceHasItsOwnContext()
    {
        NativeCudaDriver driver = new(FakeCuda.Api());
        driver.Synchronize(1, 5);
        driver.Synchronize(0, 6);
        Assert.That(Calls("StreamSynchronize"), Is.EqualTo(new[]
        {
            "StreamSynchronize(5) in 141", "StreamSynchronize(6) in 140",
        }));
        Assert.That(() => driver.Synchronize(2, 0), Throws.TypeOf<CudaException>().With.Message.Contains("cuda:2"));
        Assert.That(() => driver.Synchronize(-1, 0), Throws.TypeOf<CudaException>().With.Message.Contains("cuda:-1"));
    }

    [Test]
    public void ManyThreadsRetainAContextOnceAndKeepTheirOwn()
    {
        NativeCudaDriver driver = new(FakeCuda.Api());
        bool[] untouched = new bool[8];
        using var together = new Barrier(untouched.Length);
        Thread[] threads = [.. Enumerable.Range(0, untouched.Length).Select(i => new Thread(() =>
        {
            together.SignalAndWait();
            for (int call = 0; call < 100; call++)
            {
                Launch(driver, 0, s_launch);
            }

            untouched[i] = FakeCuda.Contexts.SequenceEqual(FakeCuda.UntouchedContexts);
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        Assert.That(untouched, Is.All.True);
        Assert.That(Calls("DevicePrimaryCtxRetain"), Has.Length.EqualTo(1));
        Assert.That(Calls("LaunchKernel"), Has.Length.EqualTo(800).And.All.EndsWith(" in 140"));
    }

    [Test]
    public void ALaunchPassesItsGeometryAndTheBytesOfItsParameter()
    {
        NativeCudaDriver driver = new(FakeCuda.Api());
        byte* parameter = stackalloc byte[] { 1, 2, 3, 250, 5 };
        driver.Launch(0, s_launch with { Stream = 9 }, parameter, 5);
        Assert.That(FakeCuda.Calls[^1], Is.EqualTo("LaunchKernel(600, 1000 3 1, 256 1 1, 0, 9, [1 2 3 250 5]) in 140"));
    }

    /// <summary>What not every kernel may have is allowed once, before the launch that asks for it.</summary>
    [Test]
    public void ALaunchAsksForSharedMemoryAndClusters()
    {
        NativeCudaDriver driver = new(FakeCuda.Api());
        CudaLaunch launch = s_launch with { GridY = 16, SharedBytes = 100_000, ClusterY = 16 };
        Launch(driver, 0, launch);
        Launch(driver, 0, launch with { SharedBytes = 5, ClusterY = 8 });
        Assert.That(FakeCuda.Calls[^4..], Is.EqualTo(new[]
        {
            "FuncSetAttribute(600, 8, 100000) in 140",
            "FuncSetAttribute(600, 14, 1) in 140",
            "LaunchKernelEx(600, 1000 16 1, 256 1 1, 100000, 0, 1: 4 1 16 1, [1 0 0 0]) in 140",
            "LaunchKernelEx(600, 1000 16 1, 256 1 1, 5, 0, 1: 4 1 8 1, [1 0 0 0]) in 140",
        }));
    }

    [Test]
    public void RefusedPtxShowsTheCompilersLog()
    {
        NativeCudaDriver driver = new(FakeCuda.Api());
        Assert.That(driver.LoadModule(0, ".version 7.8"), Is.EqualTo((nint)0x500));
        Assert.That(FakeCuda.Calls[^1], Is.EqualTo("ModuleLoadDataEx(.version 7.8) in 140"));
        FakeCuda.Failing = "ModuleLoadDataEx";
        Assert.That(
            () => driver.LoadModule(0, "nonsense"),
            Throws.TypeOf<CudaException>().With.Message.Contains("Loading PTX on cuda:0").And.Message.Contains("line 3: unknown opcode").And.Message.Contains("sm_90"));
    }

    [Test]
    public void AnUnknownKernelIsNamed()
    {
        NativeCudaDriver driver = new(FakeCuda.Api());
        FakeCuda.Failing = "ModuleGetFunction";
        Assert.That(() => driver.GetFunction(0, 0x500, "asft_forward"), Throws.TypeOf<CudaException>().With.Message.Contains("asft_forward"));
    }

    [Test]
    public void MemoryGoesAsItCame()
    {
        NativeCudaDriver driver = new(FakeCuda.Api());
        FakeCuda.NextMemory = unchecked((nint)0x7f00_0000_1000);
        void* memory = driver.Allocate(0, 3L << 32);
        driver.Free(0, memory);
        Assert.That(FakeCuda.Calls[^2..], Is.EqualTo(new[]
        {
            "MemAlloc(12884901888) in 140",
            "MemFree(7f0000001000) in 140",
        }));
    }

    [Test]
    public void PageLockedMemoryIsZero()
    {
        NativeCudaDriver driver = new(FakeCuda.Api());
        byte* memory = (byte*)driver.AllocateHost(0, 100);
        Assert.That(new Span<byte>(memory, 100).ToArray(), Is.All.Zero);
        driver.FreeHost(0, memory);
        Assert.That(FakeCuda.Calls[^2], Does.StartWith("MemHostAlloc(100, 2)"), "and mapped for kernels");
        Assert.That(FakeCuda.Calls[^1], Does.StartWith("MemFreeHost"));
    }

    /// <summary>The calls of one function.</summary>
    private static string[] Calls(string function) =>
        [.. FakeCuda.Calls.Where(call => call.StartsWith($"{function}(", StringComparison.Ordinal))];

    private static void Launch(NativeCudaDriver driver, int device, CudaLaunch launch)
    {
        int parameter = 1;
        driver.Launch(device, launch, &parameter, sizeof(int));
    }
}
