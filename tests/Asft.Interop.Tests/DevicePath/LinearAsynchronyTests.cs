using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests.DevicePath;

/// <summary>
/// How often a linear loss makes the host wait for a device, and how much it starts there, on tensors without contents: what the host may read comes
/// through <see cref="IDeviceServices"/> alone, and torch raises an error for every other attempt. So the sizes are real ones.
/// </summary>
public class LinearAsynchronyTests : TorchTest
{
    private const int Rows = 8192;
    private const int Words = 128256;
    private const int Width = 4096;
    private const int Entries = 8;
    private const double Given = 17;

    private RecordingDevice _device = null!;
    private CountingServices _services = null!;
    private IDisposable[] _substitutions = null!;
    private Tensor _labels = null!;

    [SetUp]
    public void Substitute()
    {
        _device = new RecordingDevice();
        _services = new CountingServices(Contents) { Free = 64L << 30 };
        _substitutions = [KernelChooser.Substitute(_device, DeviceType.META), DeviceServices.Substitute(_services)];
        Tensor numbers = arange(Rows, ScalarType.Int64);
        _labels = numbers.masked_fill(numbers % 6 == 5, -100); // a sixth is ignored
    }

    [TearDown]
    public void Restore() => Array.ForEach(_substitutions, substitution => substitution.Dispose());

    /// <summary>
    /// Every call of the kernel counts for two here, as it may send a report of faults after it; the copies to and from the host count for one each.
    /// </summary>
    [Test]
    public void LaunchesAndWaitsAreFew([Values] bool hasReference, [Values(ScalarType.BFloat16, ScalarType.Float16)] ScalarType type)
    {
        if (!TorchOperations.AreTold)
        {
            Assert.Ignore("This libtorch has no profiler that can be reached.");
        }

        (Tensor hidden, Tensor weight, Tensor labels) = (Empty(type, Rows, Width), Empty(type, Words, Width), Empty(ScalarType.Int64, Rows));
        Tensor? reference = hasReference ? Empty(type, Rows, Width) : null;
        hidden.requires_grad = weight.requires_grad = true;
        string[] operations = TorchOperations.Launching(() => AsftFunctional
            .linear_asft_loss(hidden, weight, labels, reference: reference, objective: hasReference ? LossObjective.Asft() : LossObjective.Sft)
            .backward());

        int launches = operations.Length + _services.Products + _services.Selections + (2 * _device.Calls.Length) + _services.Waits + _services.Uploads;
        TestContext.Out.WriteLine($"{launches} launches: {_services.Products} products, {_services.Selections} selections, {_device.Calls.Length} calls of the kernel, torch's "
            + string.Join(", ", operations.GroupBy(name => name).Select(group => $"{group.Key} x {group.Count()}")));
        Assert.Multiple(() =>
        {
            Assert.That(_device.Calls.Where(call => call.StartsWith("Forward", StringComparison.Ordinal)), Has.Exactly(7).Items, "blocks of about 1,024 rows");
            Assert.That(launches, Is.LessThanOrEqualTo(type == ScalarType.BFloat16 ? 120 : 200));
            Assert.That(_services.Waits, Is.EqualTo(1));
            Assert.That(_services.Uploads, Is.EqualTo(1));
        });
    }

    /// <summary>Whatever comes with the tokens comes to the host with the labels.</summary>
    [Test]
    public void OneWaitWhateverIsGiven([Values] Reduction reduction, [Values("none", "label", "entries")] string reference, [Values] bool metrics)
    {
        const int Few = 12;
        (Tensor hidden, Tensor weight, Tensor labels) = (Empty(ScalarType.BFloat16, Few, 4), Empty(ScalarType.BFloat16, Words, 4), Empty(ScalarType.Int64, Few));
        weight.requires_grad = true;
        TokenReference? kept = reference switch
        {
            "label" => TokenReference.LabelLogProbabilities(Empty(ScalarType.Float32, Few)),
            "entries" => TokenReference.TopK(Empty(ScalarType.Int64, Few, Entries), Empty(ScalarType.Float16, Few, Entries)),
            _ => null,
        };
        LossObjective objective = reference == "label" ? LossObjective.Asft() with { KlEstimator = KlEstimator.K3 }
            : reference == "entries" ? LossObjective.Asft() : LossObjective.Sft;
        Tensor count = empty([], ScalarType.Int32, META);
        Tensor weights = Empty(ScalarType.Float32, Few);
        Tensor loss;
        if (metrics)
        {
            AsftLossResult result = AsftFunctional.linear_asft_loss_with_metrics(
                hidden, weight, labels, null, kept, objective, reduction, count, tokenWeights: weights);
            Assert.That(result.TokenCount, Is.EqualTo(10), "known without another wait");
            loss = result.Loss;
        }
        else
        {
            loss = AsftFunctional.linear_asft_loss(hidden, weight, labels, null, kept, objective, reduction, count, tokenWeights: weights);
        }

        loss.backward([empty_like(loss)], retain_graph: true);
        loss.backward([empty_like(loss)]);
        Assert.That(_services.Waits, Is.EqualTo(1));
        string scale = reduction == Reduction.Mean ? $" scaled by {1 / Given}" : string.Empty;
        Assert.That(_device.Calls, Has.Some.EqualTo($"Forward(10){scale}"), "what was read is used");
    }

    private static Tensor Empty(ScalarType type, params long[] shape) => empty(shape, type, META);

    private Tensor Contents(Tensor tensor) => tensor.dim() == 0 ? torch.tensor(Given).to(tensor.dtype)
        : tensor.dtype != ScalarType.Int64 ? full(tensor.shape, -3, tensor.dtype)
        : tensor.dim() == 2 ? arange(tensor.numel(), ScalarType.Int64).view(tensor.shape)
        : _labels.narrow(0, 0, tensor.size(0));
}
