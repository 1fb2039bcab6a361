using FineTune.Report;
using Spectre.Console;

namespace FineTune.Tests.Report;

/// <summary>What is shown and kept of a training.</summary>
[NonParallelizable]
public class TrainingLogTests : OutputDirectory
{
    private string Metrics => PathOf(TrainingLog.MetricsName);

    [Test]
    public void EachStepIsALineOfNumbers()
    {
        using (var file = MetricsFile.Open(Metrics, afterStep: 0))
        {
            file.Report(Step(1) with { Kl = double.NaN });
            file.Note("not a number");
            Assert.That(File.ReadAllLines(Metrics), Has.Length.EqualTo(1), "before it is closed");
        }

        Assert.That(
            File.ReadAllText(Metrics),
            Does.StartWith("""{"step":1,"steps":10,"loss":0.5,"kl":null,"entropy":2,"labelProbability":0.25,"learningRate":0.001,"gradientNorm":1.5,"tokens":100,"seconds":0.5,"memoryMiB":""").And.EndsWith("}\n"));
        TrainingStep read = MetricsFile.Read(Metrics).Single();
        Assert.That((read.Step, read.Loss, read.Kl), Is.EqualTo((1, 0.5, double.NaN)));
        Assert.That(read.MemoryMiB, Is.GreaterThan(1));
    }

    /// <summary>A run that was killed may have gone beyond its last checkpoint, and have ended amidst a line.</summary>
    [Test]
    public void AResumedTrainingGoesOnBehindItsStep()
    {
        using (var file = MetricsFile.Open(Metrics, afterStep: 0))
        {
            for (int step = 1; step <= 5; step++)
            {
                file.Report(Step(step));
            }
        }

        string[] before = File.ReadAllLines(Metrics);
        File.AppendAllText(Metrics, """{"step":6,"lo""");
        using (var file = MetricsFile.Open(Metrics, afterStep: 3))
        {
            file.Report(Step(4) with { Loss = 7 });
        }

        Assert.That(File.ReadAllLines(Metrics)[..3], Is.EqualTo(before[..3]));
        Assert.That(MetricsFile.Read(Metrics).Select(step => (step.Step, step.Loss)), Is.EqualTo(new[] { (1, 0.5), (2, 0.5), (3, 0.5), (4, 7.0) }));
    }

    [Test]
    public void ANewTrainingStartsAnew()
    {
        File.WriteAllText(Metrics, "old");
        MetricsFile.Open(Metrics, afterStep: 0).Dispose();
        Assert.That(File.ReadAllText(Metrics), Is.Empty);
    }

    [Test]
    public void PlainLinesTellTheFirstAndTheLastStepAndNotes()
    {
        using var text = new StringWriter();
        var log = new PlainLog(text, TimeSpan.FromHours(1));
        for (int step = 1; step <= 10; step++)
        {
            log.Report(Step(step));
        }

        log.Note("saved");
        string[] lines = text.ToString().Split(Environment.NewLine, StringSplitOptions.RemoveEmptyEntries);
        Assert.That(lines, Has.Length.EqualTo(3));
        Assert.That(lines[0], Does.StartWith("step 1/10  loss 0.5000  KL 0.1000  entropy 2.000  label probability 0.250  200 tokens/s  ").And.EndsWith(" MiB  0:00:04 left"));
        Assert.That(lines[1], Does.StartWith("step 10/10  ").And.EndsWith("0:00:00 left"));
        Assert.That(lines[2], Is.EqualTo("saved"));
    }

    [Test]
    public void ATerminalShowsTheLastStep()
    {
        using var text = new StringWriter();
        IAnsiConsole console = AnsiConsole.Create(
            new AnsiConsoleSettings { Ansi = AnsiSupport.Yes, Interactive = InteractionSupport.Yes, Out = new AnsiConsoleOutput(text) });
        console.Profile.Width = 80;
        LiveLog.Show(console, log =>
        {
            log.Report(Step(5));
            log.Note("saved");
            log.Report(Step(10));
        });
        Assert.That(text.ToString(), Does.Contain("step 5 of 10").And.Contain("saved").And.Contain("step 10 of 10").And.Contain("loss 0.5000"));
    }

    [Test]
    public void TheChartIsDrawnEvenWhenTheTrainingFails()
    {
        TextWriter standard = Console.Out;
        Console.SetOut(TextWriter.Null);
        try
        {
            Assert.That(
                () => TrainingLog.Watch(Output, afterStep: 0, log =>
                {
                    log.Report(Step(1));
                    log.Report(Step(2) with { Kl = double.NaN });
                    throw new InvalidOperationException("failed");
                }),
                Throws.InvalidOperationException.With.Message.EqualTo("failed"));
        }
        finally
        {
            Console.SetOut(standard);
        }

        Assert.That(File.ReadAllBytes(PathOf(TrainingLog.ChartName))[..4], Is.EqualTo(new byte[] { 0x89, (byte)'P', (byte)'N', (byte)'G' }));
    }

    [Test]
    public void ManyStepsAreDrawnAsMeans()
    {
        TrainingStep[] steps = [.. Enumerable.Range(1, 2500).Select(step => Step(step) with { Kl = step % 5 == 0 ? double.NaN : step })];
        (double Step, double Value)[] points = TrainingChart.Thin(steps, step => step.Kl);
        Assert.That(points, Has.Length.EqualTo(1000));
        Assert.That(points[0], Is.EqualTo((1.5, 1.5)));
        Assert.That(points[^1], Is.EqualTo((2498.5, 2498.5)));
    }

    private static TrainingStep Step(int step) => new(
        step, 10, Loss: 0.5, Kl: 0.1, Entropy: 2, LabelProbability: 0.25, LearningRate: 0.001, GradientNorm: 1.5, Tokens: 100, Seconds: 0.5);
}
