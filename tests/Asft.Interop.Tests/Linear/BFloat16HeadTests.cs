using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests.Linear;

/// <summary>Heads in bfloat16, on processors that have units for it.</summary>
public class BFloat16HeadTests() : LinearTest(LossPath.Host)
{
    private const ScalarType BFloat16 = ScalarType.BFloat16;

    /// <summary>Of a sum of products, in parts of the sum of their magnitudes: what float32 loses in adding up some hundred of them.</summary>
    private const double Float32Sum = 1e-6;

    [SetUp]
    public void NeedsUnits()
    {
        if (!BFloat16Units.AreThere)
        {
            Assert.Ignore("This processor, or this libtorch, multiplies no bfloat16.");
        }
    }

    /// <summary>Whole tiles and parts of tiles in every direction; each product against float64, and nothing written beside the results.</summary>
    [Test]
    public void ProductsAreExactButForFloat32Sums(
        [Values(1, 31, 97, 300)] int rows, [Values(1, 63, 64, 641)] int vocabulary, [Values(2, 64, 146)] int width, [Values] bool bias)
    {
        Tensor weight = randn(vocabulary, width).to(BFloat16);
        Tensor? b = bias ? randn(vocabulary).to(BFloat16) : null;
        Tensor room = full([(rows + 31) / 32 * 32, width], double.NaN, BFloat16); // what the rows that fill up a tile hold is nobody's business
        Tensor input = room.narrow(0, 0, rows);
        input.copy_(randn(rows, width));
        var head = new BFloat16Projection(weight, b);
        (Tensor x, Tensor w) = (input.to(ScalarType.Float64), weight.to(ScalarType.Float64));

        Tensor logits = Framed(room.size(0), vocabulary).narrow(0, 0, rows);
        head.Logits(input, logits);
        Tensor exact = x.matmul(w.t());
        Tensor magnitude = x.abs().matmul(w.abs().t());
        AssertWithin(logits, b is null ? exact : exact + b, b is null ? magnitude : magnitude + b.abs(), "logits");

        logits.normal_();
        Tensor g = logits.to(BFloat16).to(ScalarType.Float64);
        head.Prepare(logits);
        Tensor dInput = Framed(rows, width);
        head.InputGradient(logits, dInput);
        AssertWithin(dInput, g.matmul(w), g.abs().matmul(w.abs()), "d input");

        Tensor dWeight = full([vocabulary, width], double.NaN);
        head.WeightGradient(logits, input, dWeight, add: false);
        head.WeightGradient(logits, input, dWeight, add: true);
        AssertWithin(dWeight, 2 * g.t().matmul(x), 2 * g.abs().t().matmul(x.abs()), "d weight");

        foreach (Tensor framed in (Tensor[])[logits, dInput])
        {
            Tensor frame = framed.as_strided([framed.size(0), framed.stride(0) - framed.size(1)], framed.stride(), framed.size(1));
            Assert.That(frame.eq(Frame).all().item<bool>(), "the memory beside a result is untouched");
        }
    }

    /// <summary>The loss is that of logits in float32, far from that of logits rounded to bfloat16; the gradients are rounded as operands and results.</summary>
    [Test]
    public void LogitsAreNotRounded([Values(Reduction.Mean, Reduction.None)] Reduction reduction, [Values] bool frozen, [Values] bool ownHead)
    {
        const int Rows = 70;
        const int Words = 700;
        const int Width = 256;
        LossObjective objective = LossObjective.Asft(0.3);
        Tensor hidden = randn(Rows, Width).to(BFloat16).requires_grad_();
        Tensor weight = (randn(Words, Width) * (6 / Math.Sqrt(Width))).to(BFloat16).requires_grad_(!frozen);
        Tensor referenceHidden = (hidden.detach() + (0.1 * randn(Rows, Width))).to(BFloat16);
        Tensor? referenceWeight = ownHead ? (weight.detach() + (0.05 * randn(Words, Width))).to(BFloat16) : null;
        Tensor labels = randint(0, Words, [Rows], ScalarType.Int64).masked_fill(rand(Rows) < 0.3, -100);
        Tensor loss = AsftFunctional.linear_asft_loss(
            hidden, weight, labels, null, TokenReference.Hidden(referenceHidden, referenceWeight), objective, reduction,
            options: new LinearLossOptions { WorkspaceBytes = 300_000 });
        Tensor upstream = reduction == Reduction.None ? rand(Rows) : tensor(0.7f);
        loss.backward([upstream]);

        Tensor wideHidden = hidden.detach().to(ScalarType.Float64).requires_grad_();
        Tensor wideWeight = weight.detach().to(ScalarType.Float64).requires_grad_();
        Tensor Composed(Tensor logits, Tensor reference) => ComposedLoss.Reduce(
            ComposedLoss.Tokens(logits, labels, reference, objective), labels, objective, reduction, null);
        Tensor exact = Composed(
            wideHidden.matmul(wideWeight.t()), referenceHidden.to(ScalarType.Float64).matmul((referenceWeight ?? weight.detach()).to(ScalarType.Float64).t()));
        exact.backward([upstream.to(ScalarType.Float64)]);
        Tensor rounded = Composed(
            hidden.detach().matmul(weight.detach().t()).to(ScalarType.Float64), referenceHidden.matmul((referenceWeight ?? weight.detach()).t()).to(ScalarType.Float64));

        double distance = (loss.detach().to(ScalarType.Float64) - exact).norm().item<double>() / exact.norm().item<double>();
        double roundedDistance = (rounded - exact).norm().item<double>() / exact.norm().item<double>();
        Assert.That(distance, Is.LessThan(1e-5)); // of float32 sums, which the weights of the tokens multiply
        Assert.That(distance, Is.LessThan(roundedDistance / 30));
        AssertNear(hidden.grad!, wideHidden.grad!, Math.ScaleB(1, -8), "d hidden");
        Assert.That(weight.grad is null, Is.EqualTo(frozen));
        if (!frozen)
        {
            AssertNear(weight.grad!, wideWeight.grad!, Math.ScaleB(1, -8), "d weight");
        }
    }

    /// <summary>Blocks of rows and stripes of results are divided among threads, sums are not.</summary>
    [Test]
    public void TheSameBitsOnAnyNumberOfThreads()
    {
        Tensor hidden = randn(150, 96).to(BFloat16).requires_grad_();
        Tensor weight = randn(900, 96).mul_(0.3).to(BFloat16).requires_grad_();
        Tensor reference = randn(150, 96).to(BFloat16);
        Tensor labels = randint(0, 900, [150], ScalarType.Int64).masked_fill(rand(150) < 0.3, -100);
        int threads = get_num_threads();
        double[]? first = null;
        try
        {
            foreach (int count in (int[])[1, 2, 7])
            {
                set_num_threads(count);
                hidden.grad = weight.grad = null;
                Tensor loss = AsftFunctional.linear_asft_loss(
                    hidden, weight, labels, reference: reference, options: new LinearLossOptions { WorkspaceBytes = 500_000 });
                loss.backward();
                double[] all = [loss.item<float>(), .. Values(hidden.grad!), .. Values(weight.grad!)];
                first ??= all;
                Assert.That(all, Is.EqualTo(first), $"{count} threads");
            }
        }
        finally
        {
            set_num_threads(threads);
        }
    }

    /// <summary>What the units do not take, torch's float32 products do: an odd width, columns that lie apart, another dtype.</summary>
    [Test]
    public void OtherHeadsAreConverted([Values("odd", "transposed", "float16", "float32 reference")] string kind)
    {
        int width = kind == "odd" ? 13 : 12;
        ScalarType type = kind == "float16" ? ScalarType.Float16 : BFloat16;
        Tensor weight = kind == "transposed" ? randn(width, 40).to(type).t() : randn(40, width).to(type);
        Assert.That(BFloat16Projection.Takes(weight), Is.EqualTo(kind == "float32 reference"));
        var inputs = new LinearCase([20], bias: false)
        {
            Hidden = randn(20, width).to(type).requires_grad_(),
            Weight = weight.requires_grad_(),
            ReferenceHidden = randn(20, width).to(kind == "float32 reference" ? ScalarType.Float32 : type),
        };
        Tensor loss = inputs.Loss();
        loss.backward();
        (Tensor exact, Tensor[] gradients) = inputs.Exact(LossObjective.Asft(), Reduction.Mean, tensor(1f));
        AssertNear(loss, exact, 1e-6, "loss");
        AssertGradients(inputs.TakeGradients(), gradients, type, kind);
    }

    private const double Frame = 12345;

    /// <summary>A matrix with some memory beside each row, which holds <see cref="Frame"/>.</summary>
    private static Tensor Framed(long rows, long columns) => full([rows, columns + 7], Frame).narrow(1, 0, columns);

    private static void AssertWithin(Tensor actual, Tensor exact, Tensor magnitude, string what)
    {
        Tensor excess = (actual.to(ScalarType.Float64) - exact).abs() - (Float32Sum * magnitude);
        Assert.That(excess.nan_to_num(nan: double.PositiveInfinity).max().item<double>(), Is.LessThanOrEqualTo(0), what);
    }
}
