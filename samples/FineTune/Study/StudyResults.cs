namespace FineTune.Study;

/// <summary>The runs of a whole grid, and numbers of one domain by seed.</summary>
internal sealed class StudyResults(IReadOnlyList<StudyRun> runs, string domain)
{
    private readonly StudyRun[] runs = [.. runs.Where(run => run.Domain == domain)];

    public string Domain => domain;

    /// <summary>A number of the runs that <paramref name="wanted"/> selects, for each seed the mean, in the order of the seeds.</summary>
    public double[] BySeed(Func<StudyRun, bool> wanted, Func<StudyRun, double> value) =>
        [.. runs.Where(wanted).GroupBy(run => run.Seed).OrderBy(seed => seed.Key).Select(seed => seed.Average(value))];

    /// <summary>Tests the differences of two methods.</summary>
    public PairedTest Difference(Func<StudyRun, bool> first, Func<StudyRun, bool> second, Func<StudyRun, double> value) =>
        PairedTest.Of([.. BySeed(first, value).Zip(BySeed(second, value), (a, b) => a - b)]);

    /// <summary>How many times as long as SFT's a method's step took, each run against SFT's of the same seed and rate, which ran within minutes of it.</summary>
    public double[] StepRatios(Func<StudyRun, bool> wanted) => BySeed(
        wanted,
        run => run.StepSeconds / runs.Single(sft => sft.Method == "SFT" && (sft.Seed, sft.LearningRate) == (run.Seed, run.LearningRate)).StepSeconds);
}
