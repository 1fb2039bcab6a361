using Asft.Kernels.Divergence;
using CsCheck;

namespace Asft.Kernels.Tests;

/// <summary>Merging states of parts of a row, in any grouping and order, is the state of the row.</summary>
public class RowStateTests
{
    private static readonly Gen<double> s_logit = Gen.Frequency(
        (9, Gen.Double[-8, 8]), (1, Gen.Const(double.NegativeInfinity)), (1, Gen.Double[-300, 300]));

    private static readonly Gen<(double Z, double Zr)[]> s_row = Gen.Select(
        s_logit, s_logit, (z, zr) => double.IsInfinity(z) || double.IsInfinity(zr) ? (double.NegativeInfinity, double.NegativeInfinity) : (z, zr))
        .Array[1, 40];

    [Test]
    public void AnyPartitionGivesTheForwardRow() => AnyPartitionGivesTheRow<ForwardKl>(KlDirection.Forward);

    [Test]
    public void AnyPartitionGivesTheReverseRow() => AnyPartitionGivesTheRow<ReverseKl>(KlDirection.Reverse);

    private static void AnyPartitionGivesTheRow<TDivergence>(KlDirection direction)
        where TDivergence : struct, IDivergence => Gen.Select(s_row, Gen.Int[1, 7], Gen.Bool).ForEach(
            2000, (row, parts, right) =>
    {
        RowState[] states = [.. row.Chunk(Math.Max(1, row.Length / parts)).Select(part => Direct(part, direction))];
        RowState merged = right
            ? Enumerable.Reverse(states).Aggregate((a, b) => RowState.Merge<TDivergence>(b, a, 1))
            : states.Aggregate((a, b) => RowState.Merge<TDivergence>(a, b, 1));
        RowState direct = Direct(row, direction);
        if (row.All(pair => double.IsNegativeInfinity(pair.Z)))
        {
            Assert.That(merged.Sum, Is.Zero);
            return;
        }

        ReferenceUse use = direction == KlDirection.Forward ? ReferenceUse.ForwardKl : ReferenceUse.ReverseKl;
        LossObjective objective = LossObjective.SftKl(1) with { KlDirection = direction };
        var actual = new TokenResult(objective, merged, use, row.Length);
        var exact = new TokenResult(objective, direct, use, row.Length);
        Assert.That(actual.LogSumExp, Is.EqualTo(exact.LogSumExp).Within(1e-12 * (1 + Math.Abs(exact.LogSumExp))));
        Assert.That(actual.ReferenceLogSumExp, Is.EqualTo(exact.ReferenceLogSumExp).Within(1e-12 * (1 + Math.Abs(exact.ReferenceLogSumExp))));
        Assert.That(actual.Kl, Is.EqualTo(exact.Kl).Within(1e-10 * (1 + exact.Kl)));
    });

    [Test]
    public void AnEmptyPartChangesNothing()
    {
        RowState row = Direct([(1, 2), (3, -1)], KlDirection.Forward);
        Assert.That(RowState.Merge<ForwardKl>(row, default, 1), Is.EqualTo(row));
        Assert.That(RowState.Merge<ForwardKl>(default, row, 1), Is.EqualTo(row));
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

        double center = direction == KlDirection.Forward ? 0 : part.MaxBy(pair => pair.Z).Zr;
        return new RowState
        {
            Max = max,
            Sum = part.Sum(pair => Math.Exp(pair.Z - max)),
            ReferenceMax = referenceMax,
            ReferenceSum = part.Sum(pair => Math.Exp(pair.Zr - referenceMax)),
            Center = center,
            Cross = part.Where(pair => !double.IsNegativeInfinity(pair.Z)).Sum(pair =>
            {
                return direction == KlDirection.Forward
                    ? Math.Exp(pair.Zr - referenceMax) * (pair.Zr - referenceMax - (pair.Z - max))
                    : Math.Exp(pair.Z - max) * (pair.Z - max - (pair.Zr - center));
            }),
        };
    }
}
