using System.Runtime.InteropServices;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests.DevicePath;

/// <summary>
/// Forward and backward pass need no value of any tensor on the host, so nothing ever waits for a device. The tensors here have no
/// values at all: torch's meta device raises an error for every attempt to look at one.
/// </summary>
public class AsynchronyTests : TorchTest
{
    private RecordingDevice _device = null!;
    private IDisposable _substitution = null!;

    [SetUp]
    public void Substitute()
    {
        _device = new RecordingDevice();
        _substitution = KernelChooser.Substitute(_device, DeviceType.META);
    }

    [TearDown]
    public void Restore() => _substitution.Dispose();

    [Test]
    public void ValuesOfMetaTensorsCannotBeRead()
    {
        Tensor scalar = empty([], device: META);
        Assert.That(() => scalar.item<float>(), Throws.InstanceOf<ExternalException>());
        Assert.That(() => scalar.cpu(), Throws.InstanceOf<ExternalException>());
        Assert.That(() => scalar.bytes.Length, Throws.Exception);
        Assert.That(() => TensorMemory.First(scalar), Throws.Exception);
    }

    [Test]
    public void ForwardAndBackwardReadNothing(
        [Values] Reduction reduction,
        [Values(ScalarType.Float32, ScalarType.Float64, ScalarType.BFloat16, ScalarType.Float16)] ScalarType type,
        [Values] bool inPlace,
        [Values] bool metrics)
    {
        Tensor leaf = Logits(type).requires_grad_();
        Tensor logits = leaf * 1.0;
        Tensor loss;
        if (metrics)
        {
            AsftLossResult result = AsftFunctional.asft_loss_with_metrics(logits, Labels(), Logits(type), reduction: reduction, inPlace: inPlace);
            Assert.That(result.TokenKl.device_type, Is.EqualTo(DeviceType.META));
            Assert.That(() => result.TokenCount, Throws.InstanceOf<ExternalException>(), "this one is documented to wait");
            loss = result.Loss;
        }
        else
        {
            loss = AsftFunctional.asft_loss(logits, Labels(), Logits(type), reduction: reduction, inPlace: inPlace);
        }

        loss.backward([ones_like(loss)]);

        Assert.That(Gradient(leaf).device_type, Is.EqualTo(DeviceType.META));
        string[] total = reduction == Reduction.None ? [] : ["Total(6)"];
        string backward = reduction == Reduction.None || type == ScalarType.Float16
            ? "Backward(6)"
            : type == ScalarType.BFloat16 && !inPlace ? "BackwardUnlessOne(6)" : "Rescale(6)";
        Assert.That(_device.Calls, Is.EqualTo((string[])
        [
            reduction == Reduction.Mean ? "Count for mean(6)" : "Count(6)", "Forward(6)", .. total, backward,
        ]));
    }

    [Test]
    public void AnyFormOfArgumentsIsTakenWithoutReadingIt([Values] Reduction reduction, [Values] bool inPlace, [Values] bool countOnHost)
    {
        Tensor leaf = empty([3, 4, 9], device: META).requires_grad_();
        Tensor scattered = (leaf * 1.0).narrow(1, 0, 3).transpose(0, 1).narrow(2, 1, 7);
        Tensor reference = empty([7, 3, 3], ScalarType.BFloat16, META).permute(1, 2, 0);
        Tensor labels = empty([3, 3], ScalarType.Int32, META).t();
        Tensor count = countOnHost ? tensor(17L, CPU) : empty([1], ScalarType.Int32, META);
        Tensor loss = AsftFunctional.asft_loss(
            scattered, labels, reference, reduction: reduction, tokenCount: count, shiftLabels: true, inPlace: inPlace);
        (loss.sum() * empty([], device: META)).backward();
        Assert.That(Gradient(leaf).shape, Is.EqualTo(leaf.shape));
        Assert.That(_device.Calls, Has.Length.AtLeast(3));
    }

    [Test]
    public void ASecondBackwardReadsNothing([Values] Reduction reduction)
    {
        Tensor logits = Logits(ScalarType.Float32).requires_grad_();
        Tensor loss = AsftFunctional.asft_loss(logits, Labels(), Logits(ScalarType.Float32), reduction: reduction);
        Tensor upstream = empty_like(loss);
        loss.backward([upstream], retain_graph: true);
        loss.backward([upstream]);
        Assert.That(_device.Calls[^1], Is.EqualTo("Backward(6)"));
    }

    /// <summary>What the host can know at once it says at once: 0 may be meant where no token counts, anything else below cannot.</summary>
    [Test]
    public void ATokenCountInHostMemoryIsChecked()
    {
        Assert.Multiple(() =>
        {
            Assert.That(() => Loss(tensor(-3L, CPU)), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("tokenCount").And.Message.Contains("-3"));
            Assert.That(() => Loss(tensor(double.NaN)), Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(() => Loss(tensor(0L, CPU)), Throws.Nothing);
        });

        static Tensor Loss(Tensor count) => AsftFunctional.asft_loss(
            Logits(ScalarType.Float32), Labels(), objective: LossObjective.Sft, tokenCount: count);
    }

    /// <summary>Only host memory has the addresses that the linear loss reads its labels from, and they are read there first.</summary>
    [Test]
    public void TheLinearLossReadsItsLabels() => Assert.That(
        () => AsftFunctional.linear_asft_loss(empty([6, 4], device: META), empty([7, 4], device: META), Labels().view(6), objective: LossObjective.Sft),
        Throws.InstanceOf<ExternalException>());

    private static Tensor Logits(ScalarType type) => empty([2, 3, 7], type, META);

    private static Tensor Labels() => empty([2, 3], ScalarType.Int64, META);
}
