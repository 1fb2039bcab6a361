using CsCheck;

namespace Asft.Kernels.Tests;

/// <summary>Rows of a single block without a reference, which the CPU kernel computes in a pass of its own, against the double-precision reference, and
/// where that has no result against the general passes.</summary>
public unsafe class ShortRowTests
{
    private static readonly string[] s_widths = ["cpu128", "cpu256", "cpu512"];

    private static readonly int[] s_vocabularies = [2, 3, 4, 8, 9, 15, 16, 17, 31, 32, 33, 65];

    /// <summary>Rows that have no result, or one that is not finite; the label is 0.</summary>
    private static readonly Dictionary<string, Action<double[]>> s_specials = new()
    {
        ["NaN"] = row => row[^1] = double.NaN,
        ["NaN label"] = row => row[0] = double.NaN,
        ["all NaN"] = row => Array.Fill(row, double.NaN),
        ["infinite"] = row => row[^1] = double.PositiveInfinity,
        ["infinite label"] = row => row[0] = double.PositiveInfinity,
        ["masked label"] = row => row[0] = double.NegativeInfinity,
        ["masked others"] = row => Array.Fill(row, double.NegativeInfinity, 1, row.Length - 1),
        ["all masked"] = row => Array.Fill(row, double.NegativeInfinity),
        ["lowest"] = row => Array.Fill(row, float.MinValue, 1, row.Length - 1),
        ["far"] = row => Array.ForEach([.. Enumerable.Range(0, row.Length)], i => row[i] += 1e8),
        ["certain"] = row => row[0] = 60,
        ["impossible"] = row => row[0] = -200,
        ["zeros"] = row => Array.ForEach([.. Enumerable.Range(0, row.Length)], i => row[i] = i % 2 == 0 ? -0.0 : 0.0),
    };

    private static IEnumerable<string> Specials => s_specials.Keys;

    [TestCaseSource(nameof(s_widths))]
    public void AgreesWithTheReference(string kernel) => RandomCase.Short.ForEach(
        RandomCase.Cases(600), test => KernelPromises.LossAndGradientAreExact(AllKernels.Named(kernel), test));

    [TestCaseSource(nameof(s_widths))]
    public void BackwardAgreesWithTheReference(string kernel) => Gen.Select(RandomCase.Short, Gen.Bool).ForEach(
        RandomCase.Cases(400), (test, scalar) => KernelPromises.BackwardIsExact(AllKernels.Named(kernel), test, scalar));

    [Test]
    public void SpecialRows([ValueSource(nameof(s_widths))] string kernel, [ValueSource(nameof(Specials))] string special, [Values] bool inPlace, [Values] bool weighted)
    {
        LossObjective objective = weighted ? LossObjective.Dft : LossObjective.Sft;
        foreach (int vocabulary in s_vocabularies)
        {
            var random = new Random(vocabulary);
            double[][] rows = [.. Enumerable.Range(0, 3).Select(_ => Enumerable.Range(0, vocabulary).Select(_ => random.Next(-60, 61) / 16.0).ToArray())];
            s_specials[special](rows[1]);
            double[] logits = [.. rows.SelectMany(row => row)];
            foreach (ElementType type in new[] { ElementType.Float32, ElementType.Float64 })
            {
                using var actual = new KernelRun(objective, logits, null, [1 % vocabulary, 0, 0], type, entropy: true);
                double[] values = actual.ReadMatrix(actual.Logits);
                using var exact = new KernelRun(objective, values, values, [1 % vocabulary, 0, 0], ElementType.Float64, entropy: true);
                exact.Forward(AllKernels.Named(kernel)); // with a reference to look at, by the general passes
                actual.Forward(AllKernels.Named(kernel), inPlace);
                string what = $"{type}, V = {vocabulary}";
                Tolerance.AssertOutputs(actual.Read(actual.Outputs.Loss), exact.Read(exact.Outputs.Loss), type, $"loss, {what}");
                Tolerance.AssertOutputs(actual.Read(actual.Outputs.LogProbability), exact.Read(exact.Outputs.LogProbability), type, $"log-probability, {what}");
                Tolerance.AssertOutputs(actual.Read(actual.Outputs.LogSumExp), exact.Read(exact.Outputs.LogSumExp), type, $"lse, {what}");
                Tolerance.AssertOutputs(actual.Read(actual.Outputs.Entropy), exact.Read(exact.Outputs.Entropy), type, $"entropy, {what}");
                Assert.That(actual.Predicted, Is.EqualTo(exact.Predicted), $"predicted, {what}");
                Tolerance.AssertGradient(
                    actual.ReadMatrix(inPlace ? actual.Logits : actual.Gradient), exact.ReadMatrix(exact.Gradient), type, $"gradient, {what}", 1);
            }
        }
    }

    /// <summary>The largest logit is at each place in turn, and once more at the end.</summary>
    [Test]
    public void OfEqualLogitsTheFirstIsPredicted(
        [ValueSource(nameof(s_widths))] string kernel, [Values(ElementType.Float32, ElementType.Float64, ElementType.BFloat16)] ElementType type)
    {
        foreach (int vocabulary in (int[])[.. s_vocabularies, 63, 64, 127, 128, 129, 150, 191, 193, 259, 513])
        {
            double[] logits = [.. from row in Enumerable.Range(0, vocabulary)
                                  from column in Enumerable.Range(0, vocabulary)
                                  select column == row || column == vocabulary - 1 ? 5.0 : column % 5];
            using var run = new KernelRun(LossObjective.Sft, logits, null, new long[vocabulary], type);
            run.Forward(AllKernels.Named(kernel));
            Assert.That(run.Predicted, Is.EqualTo(Enumerable.Range(0, vocabulary)), $"V = {vocabulary}");
        }
    }

    /// <summary>Whether squares are summed beside it or not.</summary>
    [Test]
    public void TheEntropyIsTheSameAlone(
        [ValueSource(nameof(s_widths))] string kernel, [ValueSource(typeof(AllKernels), nameof(AllKernels.Types))] ElementType type, [Values] bool referenced)
    {
        foreach (int vocabulary in (int[])[5, 65, 1000, 3000])
        {
            double[] logits = [.. Enumerable.Range(0, 2 * vocabulary).Select(i => i % 5 == 3 ? double.NegativeInfinity : i % 97 / 16.0)];
            using var run = new KernelRun(LossObjective.Sft, logits, referenced ? logits : null, [1, 1], type, entropy: true);
            run.Forward(AllKernels.Named(kernel));
            double[] both = run.Read(run.Outputs.Entropy);
            TokenOutputs alone = run.Outputs with { SquaredProbabilitySum = null };
            new Span<byte>(alone.Entropy, both.Length * run.Accumulator.SizeInBytes()).Clear();
            AllKernels.Named(kernel).Forward(run.Problem, alone, default);
            Assert.That(run.Read(alone.Entropy), Is.EqualTo(both).And.All.GreaterThan(0), $"V = {vocabulary}");
        }
    }

    /// <summary>The row before and the row after belong to others: nothing of them is written, and what is behind the last is not read.</summary>
    [Test]
    public void NothingBeyondARowIsTouched([ValueSource(nameof(s_widths))] string kernel, [ValueSource(typeof(AllKernels), nameof(AllKernels.Types))] ElementType type)
    {
        foreach (int vocabulary in s_vocabularies)
        {
            double[] logits = [.. Enumerable.Range(0, 2 * vocabulary).Select(i => i % 7 / 4.0)];
            using var run = new KernelRun(LossObjective.Sft, logits, null, [0, 0], type, padding: 3);
            run.Forward(AllKernels.Named(kernel));
            int row = vocabulary * type.SizeInBytes();
            var written = new ReadOnlySpan<byte>(run.Gradient.Data, (int)(2 * run.Stride * type.SizeInBytes()));
            Assert.That(written.Slice(row, 3 * type.SizeInBytes()).ToArray(), Is.All.EqualTo(0xA5), $"V = {vocabulary}");
            Assert.That(written[^(3 * type.SizeInBytes())..].ToArray(), Is.All.EqualTo(0xA5), $"V = {vocabulary}");
        }
    }
}
