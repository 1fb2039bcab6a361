using System.Globalization;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests.Documentation;

/// <summary>The table of docs/objectives.md that tells divergences and their estimators apart, computed again.</summary>
public class EstimatorTests : TorchTest
{
    private const int Tokens = 500;
    private const int Vocabulary = 1000;

    private static readonly (string Name, LossObjective Objective)[] s_terms =
    [
        ("exact, forward", LossObjective.SftKl(1) with { NllWeight = 0 }),
        ("exact, reverse", LossObjective.SftKl(1) with { NllWeight = 0, KlDirection = KlDirection.Reverse }),
        ("K1", LossObjective.SftKl(1) with { NllWeight = 0, KlEstimator = KlEstimator.K1 }),
        ("K2", LossObjective.SftKl(1) with { NllWeight = 0, KlEstimator = KlEstimator.K2 }),
        ("K3", LossObjective.SftKl(1) with { NllWeight = 0, KlEstimator = KlEstimator.K3 }),
    ];

    [Test]
    public void IsAsInThePage()
    {
        string[][] page = [.. Repository.Read("docs/objectives.md").Split('\n').Where(line => line.Count(c => c == '|') == 6).Skip(2).Select(Cells)];
        string[][] rows = [.. Rows()];
        Assert.That(page, Has.Length.EqualTo(rows.Length));
        foreach ((string[] shown, string[] row) in page.Zip(rows))
        {
            Assert.That(shown[..2], Is.EqualTo(row[..2]));
            for (int i = 2; i < row.Length; i++)
            {
                double expected = double.Parse(row[i], CultureInfo.InvariantCulture);
                Assert.That(
                    double.Parse(shown[i], CultureInfo.InvariantCulture), Is.EqualTo(expected).Within(0.0015 + (0.01 * Math.Abs(expected))), string.Join(" | ", row));
            }
        }

        static string[] Cells(string line) => [.. line.Trim().Trim('|').Split('|').Select(cell => cell.Trim())];
    }

    private static IEnumerable<string[]> Rows()
    {
        foreach (double drift in new[] { 0.1, 0.5, 1.0 })
        {
            Tensor reference = randn(Tokens, Vocabulary, dtype: ScalarType.Float64) * 2;
            Tensor labels = reference.softmax(-1).multinomial(1).squeeze(-1);
            Tensor policy = (reference + (drift * randn(Tokens, Vocabulary, dtype: ScalarType.Float64))).requires_grad_();
            double exact = 0;
            foreach ((string name, LossObjective objective) in s_terms)
            {
                policy.grad = null;
                Tensor losses = AsftFunctional.asft_loss(policy, labels, reference, objective, Reduction.None);
                losses.backward([ones_like(losses)]);
                double length = Gradient(policy).square().sum(-1).sqrt().mean().item<double>();
                exact = exact == 0 ? length : exact;
                yield return
                [
                    Text($"{drift}"), name, Text($"{losses.mean().item<double>():F3}"), Text($"{length:F3}"), Text($"{0.05 * exact / length:F3}"),
                ];
            }
        }
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
