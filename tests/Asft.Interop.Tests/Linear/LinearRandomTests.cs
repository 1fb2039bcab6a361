using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using Asft.Kernels.Tests;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests.Linear;

/// <summary>
/// Random objectives, dtypes, heads and sizes of the linear loss, with models that disagree by more than float32 has digits for. Hidden states
/// and weights are so small multiples of powers of two that every logit is exact: all that is left to be wrong is the loss, and the products of
/// its gradient. ASFT_RANDOM_CASES sets how many are tried, 400 otherwise.
/// </summary>
public class LinearRandomTests() : LinearTest(LossPath.Host)
{
    private const int Width = 8;

    private static readonly long s_cases = RandomCase.Cases(400);

    private static readonly ScalarType[] s_types = [ScalarType.Float32, ScalarType.Float64, ScalarType.BFloat16, ScalarType.Float16];

    [Test]
    public void LossAndGradientsAreWithinThePromise() => RandomCase.Wide.ForEach(
        s_cases, (RandomCase test) =>
        {
            using DisposeScope scope = NewDisposeScope();
            AssertPromise(test);
        }, threads: 1);

    private static void AssertPromise(RandomCase test)
    {
        manual_seed(test.Seed);
        int rows = 3 * test.Rows;
        int spread = Math.Min(test.Spread, 8);
        ScalarType type = s_types[(int)test.Type % s_types.Length];
        Reduction reduction = (Reduction)(test.Seed % 3);

        // Larger ones leave the range of what they are multiplied with.
        LossObjective objective = test.Objective with { WeightMax = Math.Min(test.Objective.WeightMax, type == ScalarType.Float16 ? 3 : 1e4) };
        Tensor hidden = Multiples(rows, Width, 8, 0.25).to(type).requires_grad_();
        Tensor weight = Multiples(test.Vocabulary, Width, 16, spread / 16.0).to(type).requires_grad_();
        Tensor referenceHidden = Multiples(rows, Width, 8, 0.25).to(type);
        Tensor? referenceWeight = test.InPlace ? Multiples(test.Vocabulary, Width, 16, spread / 16.0).to(type) : null;
        Tensor labels = randint(0, test.Vocabulary, [rows], ScalarType.Int64).masked_fill(rand(rows) < 0.25, -100);
        var options = new LinearLossOptions { WorkspaceBytes = 4 * test.Vocabulary * (1 + (test.Seed % rows)) };

        Tensor loss = AsftFunctional.linear_asft_loss(
            hidden, weight, labels, null, TokenReference.Hidden(referenceHidden, referenceWeight), objective, reduction, options: options);
        Tensor upstream = ones_like(loss);
        loss.backward([upstream]);

        Tensor wideHidden = hidden.detach().to(ScalarType.Float64);
        Tensor wideWeight = weight.detach().to(ScalarType.Float64);
        Tensor logits = wideHidden.matmul(wideWeight.t()).requires_grad_();
        Tensor reference = referenceHidden.to(ScalarType.Float64).matmul((referenceWeight ?? weight.detach()).to(ScalarType.Float64).t());
        Tensor exact = ComposedLoss.Reduce(
            ComposedLoss.Tokens(logits, labels, reference, objective), labels, objective, reduction, null);
        exact.backward([upstream.to(ScalarType.Float64)]);
        Tensor gradient = logits.grad!;

        (double unit, double absolute, double relative, double rounding) = type switch
        {
            ScalarType.Float64 => (1e-11, 1e-11, 1e-11, 1e-14),
            ScalarType.Float32 => (2e-6, 2e-6, 1e-5, 1e-6),
            ScalarType.BFloat16 => (2e-6, 2e-6, 1e-5, Math.ScaleB(1, -8)),
            _ => (2e-6, 2e-6, 1e-5, Math.ScaleB(1, -11)),
        };
        double terms = reduction == Reduction.Sum ? rows : 1; // each of which may be so far off
        AssertWithin(loss, exact.detach(), (exact.detach().abs() * unit) + (unit * terms), "loss");

        // An error of the gradient of each logit goes through the products with it; 16-bit products round their operands.
        double operand = type is ScalarType.Float32 or ScalarType.Float64 ? 0 : rounding;
        Tensor slack = (gradient.abs() * (relative + operand)) + absolute;
        Tensor counted = labels.ne(-100).unsqueeze(-1).to(ScalarType.Float64);
        slack *= counted;
        Tensor dHidden = gradient.matmul(wideWeight);
        Tensor dWeight = gradient.t().matmul(wideHidden);
        AssertWithin(hidden.grad!, dHidden, slack.matmul(wideWeight.abs()) + (dHidden.abs() * rounding) + Math.ScaleB(1, -24), "d hidden");
        AssertWithin(weight.grad!, dWeight, slack.t().matmul(wideHidden.abs()) + (dWeight.abs() * rounding) + Math.ScaleB(1, -24), "d weight");
    }

    /// <summary>Random integers up to a largest, of both signs, times a unit.</summary>
    private static Tensor Multiples(long rows, long columns, long largest, double unit) =>
        randint(-largest, largest + 1, [rows, columns], ScalarType.Float64) * unit;

    private static void AssertWithin(Tensor actual, Tensor exact, Tensor allowed, string what)
    {
        Tensor wide = actual.detach().to(ScalarType.Float64);
        Tensor excess = ((wide - exact).abs() - allowed).nan_to_num(nan: double.PositiveInfinity);
        double worst = excess.numel() == 0 ? 0 : excess.max().item<double>();
        Assert.That(worst, Is.LessThanOrEqualTo(0), $"{what}: off by {(wide - exact).abs().max().item<double>():E2}, allowed {allowed.max().item<double>():E2}");
    }
}
