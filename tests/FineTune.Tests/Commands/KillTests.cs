using System.Diagnostics;
using System.Globalization;
using FineTune.Report;
using FineTune.Tuning;

namespace FineTune.Tests.Commands;

/// <summary>
/// A training that is killed as often as it likes, at any moment, and goes on each time, ends with the bits of one that never was. Every step saves,
/// so that many of the moments are within a save.
/// </summary>
public class KillTests : ProgramTest
{
    private static readonly string[] s_more = ["--lora-rank", "2", "--lora-dropout", "0.1"];

    [Test]
    public void AKilledTrainingEndsWithTheSameBits()
    {
        using (Process whole = Start(Training(PathOf("whole"), s_more)))
        {
            Assert.That(whole.StandardError.ReadToEnd(), Is.Empty);
            whole.WaitForExit();
            Assert.That(whole.ExitCode, Is.Zero);
        }

        var random = new Random();
        TestContext.Out.WriteLine("killed in steps:");
        for (int kill = 0; kill < 3; kill++)
        {
            using Process killed = Start(Training(Tuned, [.. s_more, "--resume"]));

            // From when there is a state on, a moment within the next two steps.
            string state = Path.Combine(Tuned, TuningState.FileName);
            DateTime before = File.GetLastWriteTimeUtc(state);
            while (!killed.HasExited && File.GetLastWriteTimeUtc(state) == before)
            {
                Thread.Sleep(1);
            }

            Thread.Sleep(random.Next(12));
            killed.Kill();
            killed.WaitForExit();
            TestContext.Out.WriteLine($"{killed.ExitCode}");
        }

        using Process last = Start(Training(Tuned, [.. s_more, "--resume"]));
        Assert.That(last.StandardError.ReadToEnd(), Is.Empty);
        last.WaitForExit();
        Assert.That(last.ExitCode, Is.Zero);
        foreach (string name in new[] { "model.safetensors", TuningState.FileName, "config.json" })
        {
            Assert.That(
                File.ReadAllBytes(Path.Combine(Tuned, name)).SequenceEqual(File.ReadAllBytes(Path.Combine(PathOf("whole"), name))), Is.True, name);
        }

        Assert.That(
            MetricsFile.Read(Path.Combine(Tuned, TrainingLog.MetricsName)).Select(step => step with { Seconds = 0, MemoryMiB = 0 }),
            Is.EqualTo(MetricsFile.Read(Path.Combine(PathOf("whole"), TrainingLog.MetricsName)).Select(step => step with { Seconds = 0, MemoryMiB = 0 })));
    }

    /// <summary>Ctrl-C is SIGINT; SIGTERM is what a cluster sends before it kills.</summary>
    [Platform("Linux")]
    [TestCase("INT", 130)]
    [TestCase("TERM", 143)]
    public void AnInterruptedTrainingSavesAndStops(string signal, int exitCode)
    {
        if (signal == "INT" && IsIgnored(2))
        {
            Assert.Ignore("SIGINT is ignored here, as it is in what a shell has put into the background.");
        }

        string[] training = Training(Tuned, "--mode", "sft", "--steps", "100000", "--save-every", "100000");
        using Process running = Start(training);
        string line;
        do
        {
            line = running.StandardOutput.ReadLine() ?? throw new AssertionException(running.StandardError.ReadToEnd());
        }
        while (!line.Contains("loss", StringComparison.Ordinal));

        using (var kill = Process.Start("kill", ["-" + signal, $"{running.Id}"]))
        {
            kill.WaitForExit();
        }

        Assert.That(running.StandardOutput.ReadToEnd(), Does.Contain("--resume goes on"));
        Assert.That(running.StandardError.ReadToEnd(), Does.Contain("Stopped."));
        running.WaitForExit();
        Assert.That(running.ExitCode, Is.EqualTo(exitCode));
        Assert.That(File.Exists(Path.Combine(Tuned, TuningState.FileName)), Is.True);
        Assert.That(File.Exists(Path.Combine(Tuned, "config.json")), Is.False);
    }

    /// <summary>Whether this process ignores a signal, and with it each that it starts.</summary>
    private static bool IsIgnored(int signal)
    {
        const string Field = "SigIgn:";
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith(Field, StringComparison.Ordinal));
        return (ulong.Parse(line[Field.Length..], NumberStyles.HexNumber | NumberStyles.AllowLeadingWhite, CultureInfo.InvariantCulture) >> (signal - 1) & 1) == 1;
    }
}
