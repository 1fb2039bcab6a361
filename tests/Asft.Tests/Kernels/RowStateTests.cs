using Asft.Kernels;
using CsCheck;
using NUnit.Framework;

namespace Asft.Tests.Kernels;

/// <summary>Merging states of parts of a row, in any grouping and order, is the state of the row.</summary>
public class RowStateTests
{
    private static readonly Gen<double> s_logit = Gen.Frequency(
        (9, Gen.Double[-8, 8]), (1, Gen.Const(double.NegativeInfinity)), (1, Gen.Double[-300, 300]));

    private static readonly Gen<(double Z, double Zr)[]> s_row = Gen.Select(
        s_logit, s_logit, (z, zr) => double.IsInfinity(z) || double.IsInfinity(zr) ? (double.NegativeInfinity, double.NegativeInfinity) : (z, zr))
        .Array[1, 40];

    [TestCase(KlDirection.Forward)]
    [TestCase(KlDirection.Reverse)]
    public void AnyPartitionGivesTheRow(KlDirection direction) => Gen.Select(s_row, Gen.Int[1, 7], Gen.Bool).Sample((row, parts, right) =>
    {
        RowState[] states = [.. row.Chunk(Math.Max(1, row.Length / parts)).Select(part => Direct(part, direction))];
        RowState merged = right
            ? states.Reverse().Aggregate((a, b) => RowState.Merge(b, a, direction))
            : states.Aggregate((a, b) => RowState.Merge(a, b, direction));
        RowState direct = Direct(row, direction);
        if (row.All(pair => double.IsNegativeInfinity(pair.Z)))
        {
            Assert.That(merged.LogSumExp, Is.EqualTo(double.NegativeInfinity));
            return;
        }

        Assert.That(merged.LogSumExp, Is.EqualTo(direct.LogSumExp).Within(1e-12 * (1 + Math.Abs(direct.LogSumExp))));
        Assert.That(merged.ReferenceLogSumExp, Is.EqualTo(direct.ReferenceLogSumExp).Within(1e-12 * (1 + Math.Abs(direct.ReferenceLogSumExp))));
        Assert.That(merged.Kl(direction), Is.EqualTo(direct.Kl(direction)).Within(1e-10 * (1 + direct.Kl(direction))));
    }, iter: 2000, seed: "0N0XIzNsQ0O2");

    [Test]
    public void AnEmptyPartChangesNothing()
    {
        RowState row = Direct([(1, 2), (3, -1)], KlDirection.Forward);
        Assert.That(RowState.Merge(row, default, KlDirection.Forward), Is.EqualTo(row));
        Assert.That(RowState.Merge(default, row, KlDirection.Forward), Is.EqualTo(row));
    }

    /// <summary>The state by its definition, from the maxima of the part.</summary>
    private static RowState Direct((double Z, double Zr)[] part, KlDirection direction)
    {
        double max = part.Max(pair => pair.Z);
        double referenceMax = part.Max(pair => pair.Zr);
        if (double.IsNegativeInfinity(max))
        {
            return default;
        }

        return new RowState(
            max,
            part.Sum(pair => Math.Exp(pair.Z - max)),
            referenceMax,
            part.Sum(pair => Math.Exp(pair.Zr - referenceMax)),
            part.Where(pair => !double.IsNegativeInfinity(pair.Z)).Sum(pair =>
            {
                double d = pair.Zr - referenceMax - (pair.Z - max);
                return direction == KlDirection.Forward ? Math.Exp(pair.Zr - referenceMax) * d : Math.Exp(pair.Z - max) * -d;
            }));
    }
}
