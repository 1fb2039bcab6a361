using Asft.Kernels;
using Asft.Kernels.Tests.Ilgpu;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop.Tests;

/// <summary>The choice of the device. Not in parallel with anything: it is one for the whole process.</summary>
[NonParallelizable]
public class RuntimeTests
{
    [TearDown]
    public void Reset() => AsftRuntime.Use("auto");

    [Test]
    public void TheDevicesAreTheProcessorAndWhatIlgpuDrives()
    {
        string[] ids = [.. AsftRuntime.Devices.Select(device => device.Id)];
        Assert.That(ids[..2], Is.EqualTo(new[] { "cpu", "ilgpu:cpu" }));
        Assert.That(ids, Is.Unique);
    }

    [Test]
    public void TheProcessorIsChosenUnlessTheUserSaysOtherwise()
    {
        AsftRuntime.Use("auto");
        Assert.That(AsftRuntime.Describe(), Does.Contain("SIMD").And.Contain("fastest"));
        AsftRuntime.Use("ilgpu:cpu");
        Assert.That(AsftRuntime.Describe(), Does.Contain("ilgpu:cpu").And.Contain("AsftRuntime.Use"));
    }

    [Test]
    public void ALossOnAnotherDeviceIsTheSame([ValueSource(typeof(Devices), nameof(Devices.Names))] string device)
    {
        (double loss, double[] gradient) = Compute();
        AsftRuntime.Use(device);
        (double ilgpuLoss, double[] ilgpuGradient) = Compute();
        Assert.That(ilgpuLoss, Is.EqualTo(loss).Within(4e-6));
        Assert.That(ilgpuGradient, Is.EqualTo(gradient).Within(4e-6));
    }

    [Test]
    public void ABackwardPassStaysWhereItsForwardPassWas()
    {
        AsftRuntime.Use("ilgpu:cpu");
        using Tensor logits = Logits();
        using Tensor labels = tensor(new long[] { 1, 2, 3 });
        using Tensor loss = AsftFunctional.asft_loss(logits, labels, objective: LossObjective.Dft, reduction: nn.Reduction.None);
        AsftRuntime.Use("cpu");
        using Tensor total = loss.sum();
        total.backward();
        Assert.That(logits.grad!.isfinite().all().item<bool>());
    }

    [Test]
    public void AnUnknownDeviceIsRefusedAndTheKnownOnesAreNamed()
    {
        ArgumentException? error = Assert.Throws<ArgumentException>(() => AsftRuntime.Use("gpu"));
        Assert.That(error!.Message, Does.Contain("\"gpu\"").And.Contain("cpu").And.Contain("ilgpu:cpu"));
        Assert.That(AsftRuntime.Describe(), Does.Contain("SIMD"), "the choice is as it was");
    }

    private static Tensor Logits() => (arange(3 * 50, ScalarType.Float32).reshape(3, 50) / 17).sin().requires_grad_();

    private static (double Loss, double[] Gradient) Compute()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor logits = Logits();
        Tensor reference = logits.detach().cos();
        Tensor loss = AsftFunctional.asft_loss(logits, tensor(new long[] { 1, 2, 3 }), reference);
        loss.backward();
        return (loss.ToDouble(), [.. logits.grad!.data<float>().Select(value => (double)value)]);
    }
}
