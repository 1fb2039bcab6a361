using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests.Linear;

/// <summary>Heads of a device in 16 bits, with a device that multiplies as its tensor cores do: 16-bit factors, float32 sums and results.</summary>
public class TensorCoreHeadTests() : LinearTest(LossPath.Double)
{
    private CountingServices _services = null!;
    private IDisposable _substitution = null!;

    [SetUp]
    public void Substitute()
    {
        _services = new CountingServices(tensor => tensor);
        _substitution = DeviceServices.Substitute(_services);
    }

    [TearDown]
    public void Restore() => _substitution.Dispose();

    /// <summary>Several blocks, the last one smaller, and rows that are left out.</summary>
    [Test]
    public void EqualsComposed(
        [Values(ScalarType.BFloat16, ScalarType.Float16)] ScalarType type,
        [Values] bool ownHead,
        [Values] bool bias,
        [Values(Reduction.Mean, Reduction.None)] Reduction reduction)
    {
        LinearCase inputs = new LinearCase([23], type, ownHead ? type : null, bias).Ignore(0.2);
        Tensor upstream = reduction == Reduction.None ? randn(23) : tensor(0.3f);
        Tensor loss = inputs.Loss(LossObjective.Asft(0.4), reduction, options: new LinearLossOptions { WorkspaceBytes = 3000 });
        loss.backward([upstream]);
        (Tensor exact, Tensor[] gradients) = inputs.Exact(LossObjective.Asft(0.4), reduction, upstream);
        AssertNear(loss, exact, 1e-6, "loss");
        AssertGradients(inputs.TakeGradients(), gradients, type, "gradients");
        Assert.That(_services.Products, Is.AtLeast(8));
    }

    /// <summary>The gradient of the hidden states keeps its accuracy in every row, however small, and nothing of float16's range is left over.</summary>
    [Test]
    public void Float16RowsOfAnySize()
    {
        const int Words = 90;
        Tensor weight = randn(Words, 16).to(ScalarType.Float16);
        Tensor size = tensor(new[] { 1f, 1e-9f, 3e5f, 0f, 1e-35f, 65504f, 2f });
        Tensor gradient = randn(7, Words) * size.unsqueeze(1);
        Tensor exact = gradient.to(ScalarType.Float64).matmul(weight.to(ScalarType.Float64));
        var head = new TensorCoreProjection(weight, null);
        head.ReserveGradient(9);
        head.Prepare(gradient);
        Tensor result = empty(7, 16);
        head.InputGradient(gradient, result);
        for (int row = 0; row < 7; row++)
        {
            AssertNear(result[row], exact[row], Math.ScaleB(1, -11), $"row {row}");
        }
    }

    /// <summary>float16 at the ends of its range is exact as a factor, of a product in float32 too.</summary>
    [Test]
    public void LogitsAreNotRounded([Values(ScalarType.BFloat16, ScalarType.Float16)] ScalarType type)
    {
        Tensor weight = cat([randn(40, 24), full([1, 24], Math.ScaleB(1, -24)), full([1, 24], 65504)]).to(type);
        Tensor input = randn(5, 24).to(type);
        Tensor logits = empty(5, 42);
        new TensorCoreProjection(weight, null).Logits(input, logits);
        Tensor exact = input.to(ScalarType.Float64).matmul(weight.to(ScalarType.Float64).t());
        AssertNear(logits.narrow(1, 0, 41), exact.narrow(1, 0, 41), 1e-6, "logits");
        AssertNear(logits.narrow(1, 41, 1), exact.narrow(1, 41, 1), 1e-6, "large logits");
    }

    /// <summary>The switch is torch's own and one for all: it is back where it was when the last user is done, however that one ends.</summary>
    [Test]
    public void TensorFloat32IsPutBack([Values] bool before)
    {
        bool found = backends.cuda.matmul.allow_tf32;
        try
        {
            backends.cuda.matmul.allow_tf32 = before;
            var head = new TensorCoreProjection(zeros([3, 4], ScalarType.Float16), null);
            Assert.That(
                () => head.WeightGradient(zeros(2, 3), zeros([2, 5], ScalarType.Float16), zeros(3, 4), add: true), Throws.Exception, "5 columns, not 4");
            Assert.That(backends.cuda.matmul.allow_tf32, Is.EqualTo(before));
            using (TensorFloat32.Allow())
            {
                TensorFloat32.Allow().Dispose();
                Assert.That(backends.cuda.matmul.allow_tf32, Is.True, "somebody else still uses it");
            }

            Assert.That(backends.cuda.matmul.allow_tf32, Is.EqualTo(before));
        }
        finally
        {
            backends.cuda.matmul.allow_tf32 = found;
        }
    }

    /// <summary>This torch knows the products that TorchSharp has no function for. On the CPU there are none, and it says so.</summary>
    [Test]
    public void TorchHasTheProducts([Values] bool add)
    {
        Tensor factor = zeros([2, 2], ScalarType.BFloat16);
        Assert.That(
            () => CudaServices.Instance.Multiply(zeros(2, 2), factor, factor, add),
            Throws.Exception.With.Message.Contains(add ? "'aten::addmm.dtype_out'" : "'aten::mm.dtype_out'").And.Message.Contains("CPU"));
    }

    /// <summary>On a device: 512 MiB, or room for 1,024 rows, but no more than a sixteenth of what is free; and what the caller says, whatever there is.</summary>
    [Test]
    public void TheDefaultSuitsADevice()
    {
        const long Mebi = 1 << 20;
        using IDisposable _ = DeviceServices.Substitute(new CountingServices(tensor => tensor) { Free = 32L << 30 });
        Tensor weight = zeros(4, 4);
        var budget = WorkspaceBudget.Of(new LinearLossOptions(), weight);
        Assert.That(budget.Bytes, Is.EqualTo(512 * Mebi));
        Assert.That(budget.Rows(0, Mebi / 8), Is.EqualTo(4096), "small rows: 512 MiB");
        Assert.That(budget.Rows(100 * Mebi, Mebi), Is.EqualTo(1024), "large rows: 1,024 of them");
        Assert.That(budget.Rows(48 * Mebi, 4 * Mebi), Is.EqualTo(500), "very large rows: a sixteenth of 32 GiB");
        Assert.That(budget.Rows(0, 4096 * Mebi), Is.EqualTo(1), "at least one");
        Assert.That(WorkspaceBudget.Of(new LinearLossOptions { WorkspaceBytes = 10 * Mebi }, weight).Rows(Mebi, Mebi), Is.EqualTo(9));
    }
}
