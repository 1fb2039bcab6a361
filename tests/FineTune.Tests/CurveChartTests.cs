using Asft.Kernels;
using FineTune.Evaluation;
using FineTune.Report;
using FineTune.Training;

namespace FineTune.Tests;

/// <summary>The chart is there whole or not at all.</summary>
public class CurveChartTests : OutputDirectory
{
    private static readonly byte[] s_png = [0x89, (byte)'P', (byte)'N', (byte)'G'];

    [Test]
    public void PreparingLeavesNothing()
    {
        Assert.That(CurveChart.Prepare(PathOf("new/out")), Is.EqualTo(PathOf("new/out/fine-tune.png")));
        Assert.That(Directory.EnumerateFileSystemEntries(PathOf("new/out")), Is.Empty);
    }

    [Test]
    public void AnEarlierChartIsReplaced()
    {
        string path = CurveChart.Prepare(Output);
        File.WriteAllText(path, "earlier");
        CurveChart.Save(SomeResults(), path);
        Assert.That(File.ReadAllBytes(path)[..4], Is.EqualTo(s_png));
        Assert.That(Directory.GetFiles(Output), Is.EqualTo(new[] { path }));
    }

    /// <summary>/dev/full stands for a disk that fills up during the run, and one that is full from the start.</summary>
    [Test]
    [Platform("Linux")]
    public void AFullDiskIsToldAndSparesTheEarlierChart([Values] bool fromTheStart)
    {
        string path = CurveChart.Prepare(Output);
        File.WriteAllText(path, "earlier");
        File.CreateSymbolicLink(path + ".partial", "/dev/full");
        UserErrorException error = Assert.Throws<UserErrorException>(() =>
        {
            if (fromTheStart)
            {
                CurveChart.Prepare(Output);
            }
            else
            {
                CurveChart.Save(SomeResults(), path);
            }
        })!;
        Assert.That(error.Message, Does.StartWith("Cannot write").And.Contain("No space left"));
        Assert.That(File.ReadAllText(path), Is.EqualTo("earlier"));
        Assert.That(Directory.GetFiles(Output), Is.EqualTo(new[] { path }));
    }

    private static Results SomeResults()
    {
        var domain = new DomainScore("addition", 10, Accuracy: 0.5, TokenAccuracy: 0.5, Loss: 1, Kl: 0.1);
        var score = new Score(domain, [domain with { Name = "sorting" }]);
        var outcome = new Outcome(
            new Mode("sft", "SFT", LossObjective.Sft), [new CurvePoint(0, score), new CurvePoint(1, score)], new StepCost(1, 1));
        return new Results(KlDirection.Forward, score, [outcome]);
    }
}
