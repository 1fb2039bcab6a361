using Asft.Kernels.Cuda.Driver;
using static TorchSharp.torch;

namespace Asft.Interop.Tests.DevicePath;

/// <summary>Which CUDA device has a kernel, and how the user gets to know; and whether this machine runs the fixtures on one.</summary>
[NonParallelizable]
public class CudaChoiceTests : TorchTest
{
    [SetUp]
    public void Reset() => FakeCuda.Reset();

    [Test]
    public void DevicesFromAmpereOnHaveAKernel() =>
        Assert.That(() => CudaKernels.Check(new NativeCudaDriver(FakeCuda.Api()), 0, "logits"), Throws.Nothing);

    [Test]
    public void AnOlderDeviceIsRefusedByNameAndCapability() => Assert.That(
        () => CudaKernels.Check(new NativeCudaDriver(FakeCuda.Api()), 1, "logits"),
        Throws.TypeOf<NotSupportedException>().With.Message
            .Contains("logits is on cuda:1 (Fake 1, compute capability 7.5)").And.Message.Contains("8.0").And.Message.Contains("logits.cpu()"));

    [Test]
    public void ADeviceUnknownToTheDriverIsAnErrorThatSaysWhy()
    {
        Assert.That(
            () => CudaKernels.Check(new NativeCudaDriver(FakeCuda.Api()), 2, "hidden"),
            Throws.TypeOf<NotSupportedException>().With.Message.Contains("hidden is on cuda:2").And.Message.Contains("CUDA driver 12.4 has 2 devices"));
        Assert.That(
            () => CudaKernels.Check(new NativeCudaDriver(api: null), 0, "hidden"),
            Throws.TypeOf<NotSupportedException>().With.Message.Contains("cuda:0").And.Message.Contains(CudaApi.LibraryName));
    }

    [Test]
    public void TheDescriptionNamesDevicesCapabilitiesAndDriver()
    {
        string[] lines = CudaKernels.Describe(new NativeCudaDriver(FakeCuda.Api()), torchHasCuda: true).Split(Environment.NewLine);
        Assert.That(lines, Has.Length.EqualTo(2));
        Assert.That(lines[0], Does.Contain("cuda:0 (Fake 0, compute capability 9.0), CUDA driver 12.4").And.Contain("bfloat16"));
        Assert.That(lines[1], Does.Contain("cuda:1 (Fake 1, compute capability 7.5)").And.Contain("no kernel"));
        Assert.That(CudaKernels.Describe(new NativeCudaDriver(FakeCuda.Api()), torchHasCuda: false), Does.EndWith("instead of TorchSharp-cpu."));
        Assert.That(
            CudaKernels.Describe(new NativeCudaDriver(api: null), torchHasCuda: true), Does.Contain("no kernel").And.Contain(CudaApi.LibraryName));
    }

    [Test]
    public void TheRuntimeDescribesCudaTensorsToo() => Assert.That(AsftRuntime.Describe(), Does.Contain("CPU tensors:").And.Contain("CUDA tensors:"));

    /// <summary>Where tensors are not on the host, their addresses come from another place: it says the same about those that are.</summary>
    [Test]
    public unsafe void AddressesOfTensorsOnAnyDevice(
        [Values(ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16, ScalarType.Int64)] ScalarType type)
    {
        Tensor whole = zeros([5, 7], type);
        foreach (Tensor tensor in (Tensor[])[whole, whole.narrow(0, 1, 3), whole.narrow(1, 2, 3).t(), whole[3, 4]])
        {
            Assert.That((nint)LibTorchSharp.Data(tensor.Handle), Is.EqualTo((nint)TensorMemory.Pointer(tensor)));
        }

        Assert.That(TensorMemory.Pointer(empty([0, 3], type, META)) == null);
    }

    /// <summary>Skipped, with the reason, where the fixtures do not run on CUDA tensors.</summary>
    [Test]
    public void LossesOfCudaTensorsTakeTheCudaKernels()
    {
        if (LossPath.NoCuda is { } reason)
        {
            Assert.Ignore($"Nothing was tested on CUDA tensors: {reason}.");
        }

        Tensor logits = randn(4, 33);
        Tensor reference = randn(4, 33);
        Tensor labels = tensor(new long[] { 1, 2, -100, 3 });
        Tensor expected = AsftFunctional.asft_loss(logits, labels, reference);
        Tensor actual = AsftFunctional.asft_loss(logits.cuda(), labels.cuda(), reference.cuda());
        Assert.That(actual.device_type, Is.EqualTo(TorchSharp.DeviceType.CUDA));
        AssertClose(actual, expected, 2e-6, 2e-6, "loss");
        Assert.That(AsftRuntime.Describe(), Does.Contain("float32.ptx").And.Contain("loaded"));
    }
}
