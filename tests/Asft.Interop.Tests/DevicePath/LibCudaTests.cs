using System.Reflection;
using Asft.Kernels.Cuda;
using Asft.Kernels.Cuda.Driver;
using Asft.Kernels.Tests.Cuda;
using Asft.PtxVm;
using Asft.PtxVm.Driver;

namespace Asft.Interop.Tests.DevicePath;

/// <summary>
/// The native binding of the CUDA driver on a library that it loads by name: the virtual machine's <c>libcuda.so.1</c>, with the numbers of
/// NVIDIA's header. That the kernels' and the device path's fixtures take this way too is asserted here; they need not know.
/// </summary>
public sealed unsafe class LibCudaTests
{
    private const string Increment = """
        .version 7.8
        .target sm_80
        .address_size 64
        .visible .entry increment(.param .u64 numbers, .param .u32 by)
        {
            .reg .b32 %r<4>;
            .reg .b64 %rd<4>;
            ld.param.u64 %rd1, [numbers];
            ld.param.u32 %r3, [by];
            mov.u32 %r1, %tid.x;
            mul.wide.u32 %rd2, %r1, 4;
            add.s64 %rd1, %rd1, %rd2;
            ld.global.u32 %r2, [%rd1];
            add.u32 %r2, %r2, %r3;
            st.global.u32 [%rd1], %r2;
            ret;
        }
        """;

    /// <summary>The binding's numbers, by their names in <c>cuda.h</c>.</summary>
    private static readonly Dictionary<string, string> s_names = new()
    {
        [nameof(CudaConstants.Success)] = "CUDA_SUCCESS",
        [nameof(CudaConstants.NoDevice)] = "CUDA_ERROR_NO_DEVICE",
        [nameof(CudaConstants.MultiprocessorCount)] = "CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT",
        [nameof(CudaConstants.ComputeCapabilityMajor)] = "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR",
        [nameof(CudaConstants.ComputeCapabilityMinor)] = "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR",
        [nameof(CudaConstants.MaxSharedMemoryPerBlockOptin)] = "CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN",
        [nameof(CudaConstants.MaxDynamicSharedSizeBytes)] = "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES",
        [nameof(CudaConstants.NonPortableClusterSizeAllowed)] = "CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED",
        [nameof(CudaConstants.LaunchAttributeClusterDimension)] = "CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION",
        [nameof(CudaConstants.JitInfoLog)] = "CU_JIT_INFO_LOG_BUFFER",
        [nameof(CudaConstants.JitInfoLogBytes)] = "CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES",
        [nameof(CudaConstants.JitErrorLog)] = "CU_JIT_ERROR_LOG_BUFFER",
        [nameof(CudaConstants.JitErrorLogBytes)] = "CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES",
        [nameof(CudaConstants.HostAllocDeviceMap)] = "CU_MEMHOSTALLOC_DEVICEMAP",
        [nameof(CudaConstants.LaunchParameterEnd)] = "CU_LAUNCH_PARAM_END",
        [nameof(CudaConstants.LaunchParameterBuffer)] = "CU_LAUNCH_PARAM_BUFFER_POINTER",
        [nameof(CudaConstants.LaunchParameterBytes)] = "CU_LAUNCH_PARAM_BUFFER_SIZE",
    };

    [OneTimeSetUp]
    public void Library()
    {
        if (!LibCuda.IsThere)
        {
            Assert.Ignore("no libcuda.so.1 of the virtual machine: compile it with scripts/fake-libcuda.sh, and name its folder in LD_LIBRARY_PATH");
        }
    }

    [Test]
    public void TheBindingsNumbersAreThoseOfTheHeader() => Assert.Multiple(() =>
    {
        foreach (FieldInfo field in typeof(CudaConstants).GetFields(BindingFlags.Public | BindingFlags.Static))
        {
            Assert.That(Convert.ToInt64(field.GetRawConstantValue()), Is.EqualTo(LibCuda.Constant(s_names[field.Name])), field.Name);
        }
    });

    [Test]
    public void TheKernelsAndTheDevicePathTakeTheNativeBinding()
    {
        var driver = MachineKernel.Get().Driver as NativeCudaDriver;
        Assert.That(driver, Is.Not.Null);
        Assert.That(driver!.Name, Is.EqualTo("CUDA driver 12.4"));
        Assert.That(driver.Devices[^1], Is.EqualTo(MachineKernel.Get().Machine.Devices[0] with { Ordinal = driver.Devices.Count - 1 }));
    }

    [Test]
    public void WhatAKernelDidWrongArrivesAsTheDriversText()
    {
        (NativeCudaDriver driver, int device, _) = Start();
        nint function = driver.GetFunction(device, driver.LoadModule(device, Increment), "increment");
        int* numbers = (int*)driver.AllocateHost(device, 64);
        Launch(16);
        Assert.That(new Span<int>(numbers, 16).ToArray(), Is.All.EqualTo(3));
        Assert.That(
            () => Launch(17),
            Throws.TypeOf<CudaException>().With.Message.Contains("CUDA_ERROR_ILLEGAL_ADDRESS (OutOfBounds in kernel increment, block (0, 0), thread 16"));
        driver.FreeHost(device, numbers);

        void Launch(uint threads)
        {
            (nint, int) parameters = ((nint)numbers, 3);
            driver.Launch(device, new CudaLaunch(function, 1, 1, threads, 0), &parameters, 12);
        }
    }

    [Test]
    public void WhatTheDriverRefuses()
    {
        (NativeCudaDriver driver, int device, _) = Start();
        (_, int other, _) = Start();
        driver = new NativeCudaDriver(CudaApi.TryLoad());
        nint module = driver.LoadModule(device, Increment);
        nint function = driver.GetFunction(device, module, "increment");
        void* memory = driver.Allocate(device, 64);
        Refused(() => driver.LoadModule(device, ".version 7.8\n.target sm_80\n.entry k() { nonsense.u32 %r1; }"), "CUDA_ERROR_INVALID_PTX", "nonsense");
        Refused(() => driver.GetFunction(device, module, "decrement"), "CUDA_ERROR_NOT_FOUND", "decrement");
        Refused(() => driver.GetFunction(other, module, "increment"), "CUDA_ERROR_INVALID_HANDLE", "another context");
        Refused(() => driver.GetFunction(device, function, "increment"), "CUDA_ERROR_INVALID_HANDLE", "is no module");
        Refused(() => Launch(device, 11), "CUDA_ERROR_INVALID_VALUE", "11 bytes");
        Refused(() => Launch(other, 12), "CUDA_ERROR_INVALID_HANDLE", "another context");
        Refused(() => driver.Synchronize(device, 77), "CUDA_ERROR_INVALID_HANDLE", "is no stream");
        Refused(() => driver.Free(other, memory), "CUDA_ERROR_INVALID_VALUE", "Nothing is allocated");
        Refused(() => driver.Allocate(device, 0), "CUDA_ERROR_INVALID_VALUE", "0 bytes");
        driver.Free(device, memory);

        void Launch(int on, int bytes)
        {
            (nint, int) parameters = ((nint)memory, 3);
            driver.Launch(on, new CudaLaunch(function, 1, 1, 1, 0), &parameters, bytes);
        }

        static void Refused(Action action, string error, string why) =>
            Assert.That(() => action(), Throws.TypeOf<CudaException>().With.Message.Contains(error).And.Message.Contains(why));
    }

    [Test]
    public void PageLockedMemoryIsClearedAndReachedByKernels()
    {
        (NativeCudaDriver driver, int device, PtxMachine machine) = Start();
        int* host = (int*)driver.AllocateHost(device, 64);
        Assert.That(new Span<int>(host, 16).ToArray(), Is.All.Zero);
        nint function = driver.GetFunction(device, driver.LoadModule(device, Increment), "increment");
        (nint, int) parameters = ((nint)host, 1);
        driver.Launch(device, new CudaLaunch(function, 1, 1, 16, 0), &parameters, 12);
        Assert.That(new Span<int>(host, 16).ToArray(), Is.All.EqualTo(1));
        driver.FreeHost(device, host);
        Assert.That(machine.Memory.AllocatedBytes, Is.Zero);
    }

    private static (NativeCudaDriver Driver, int Device, PtxMachine Machine) Start()
    {
        var machine = new PtxMachine();
        int device = LibCuda.Add(machine);
        return (new NativeCudaDriver(CudaApi.TryLoad()), device, machine);
    }
}
