using System.Globalization;
using Asft.Kernels;

namespace FineTune.Tests;

/// <summary>What ends the program before its work begins: one line on standard error and exit code 1.</summary>
[NonParallelizable]
public class CommandLineTests : OutputDirectory
{
    [TestCase("--data must be a path, not ''", "--data", "")]
    [TestCase("--output must be a path, not ''", "--output", "")]
    [TestCase("--mode must be one of sft, dft, sft-kl, asft, all, not 'dpo'", "--mode", "dpo")]
    [TestCase("--steps must be a whole number, at least 1, not '0'", "--steps", "0")]
    [TestCase("--kl-weight must be a number, at least 0, that float32 can hold, not '1e39'", "--kl-weight", "1e39")]
    [TestCase("--reference cached needs --head linear", "--reference", "cached")]
    [TestCase("'--bogus'", "--bogus")]
    public void ABadOptionIsNamed(string message, params string[] args) => AssertRefused(message, args);

    [Test]
    public void NumbersAreReadTheSameInEveryCulture()
    {
        CultureInfo culture = CultureInfo.CurrentCulture;
        CultureInfo.CurrentCulture = new CultureInfo(string.Empty) { NumberFormat = new NumberFormatInfo { NumberDecimalSeparator = "," } };
        try
        {
            AssertRefused("--kl-weight must be a number, at least 0, that float32 can hold, not '0,05'", "--kl-weight", "0,05");
            AssertRefused("missing.jsonl", "--kl-weight", "0.05", "--data", PathOf("missing.jsonl"));
        }
        finally
        {
            CultureInfo.CurrentCulture = culture;
        }
    }

    [Test]
    public void AnOutputThatCannotBeWrittenIsRefused()
    {
        File.WriteAllText(PathOf("file"), string.Empty);
        AssertRefused("Cannot write to the output directory", "--output", PathOf("file"));
        Directory.CreateDirectory(PathOf("out/fine-tune.png"));
        AssertRefused("fine-tune.png' is a directory", "--output", PathOf("out"));
    }

    /// <summary>As Ctrl-C does it: the run ends at the next step, and leaves nothing behind.</summary>
    [Test]
    public void ARunThatIsStoppedLeavesNothing()
    {
        var options = new Options(
            Data: null, "sft", KlWeight: 0.05, KlDirection.Forward, LinearHead: false, CachedReference: false, Steps: 1, LearningRate: 1e-3,
            WrongShare: 0.3, Seed: 1, Output);
        Assert.Throws<OperationCanceledException>(() => Demo.Run(options, new CancellationToken(canceled: true)));
        Assert.That(Directory.EnumerateFileSystemEntries(Output), Is.Empty);
    }

    private static void AssertRefused(string message, params string[] args)
    {
        TextWriter standard = Console.Error;
        using var error = new StringWriter();
        Console.SetError(error);
        try
        {
            Assert.That(CommandLine.Run(["demo", .. args]), Is.EqualTo(1));
        }
        finally
        {
            Console.SetError(standard);
        }

        string[] lines = error.ToString().Split(Environment.NewLine, StringSplitOptions.RemoveEmptyEntries);
        Assert.That(lines, Has.Length.EqualTo(1));
        Assert.That(lines[0], Does.StartWith("error: ").And.Contain(message));
    }
}
