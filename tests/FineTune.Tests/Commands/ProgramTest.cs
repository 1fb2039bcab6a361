using System.Diagnostics;
using FineTune.Tests.Checkpoint;
using FineTune.Tests.Text;
using static TorchSharp.torch;

namespace FineTune.Tests.Commands;

/// <summary>A test of the program as a user runs it, on a tiny checkpoint with a tokenizer.</summary>
[NonParallelizable]
public abstract class ProgramTest : OutputDirectory
{
    private const int Examples = 12;

    private int threads;

    protected string Model => PathOf("model");

    protected string Data => PathOf("data.jsonl");

    protected string Tuned => PathOf("tuned");

    [SetUp]
    public void MakeCheckpoint()
    {
        threads = get_num_threads();
        set_num_threads(1);
        TinyCheckpoint.Make(Model, "qwen3", vocabulary: SmallTokenizer.End + 2);
        SmallTokenizer.Write(Model, ["a b", "c d"]);
        var random = new Random(3);
        File.WriteAllLines(Data, Enumerable.Range(0, Examples).Select(i =>
            $$"""{"prompt": "{{new string(random.GetItems<char>("abcd", 3 + random.Next(5)))}}", "response": "{{new string(random.GetItems<char>("xyz", 2 + random.Next(6)))}}"}"""));
    }

    [TearDown]
    public void RestoreThreads() => set_num_threads(threads);

    /// <summary>Runs the program here.</summary>
    /// <returns>Its exit code, and what it wrote.</returns>
    protected static (int Code, string Output, string Error) Run(params string[] args)
    {
        (TextWriter standard, TextWriter errors) = (Console.Out, Console.Error);
        using var output = new StringWriter();
        using var error = new StringWriter();
        Console.SetOut(output);
        Console.SetError(error);
        try
        {
            return (CommandLine.Run(args), output.ToString(), error.ToString());
        }
        finally
        {
            Console.SetOut(standard);
            Console.SetError(errors);
        }
    }

    /// <summary>Runs the program here, which must succeed.</summary>
    protected static string Succeed(params string[] args)
    {
        (int code, string output, string error) = Run(args);
        Assert.That(code, Is.Zero, error);
        return output;
    }

    /// <summary>Runs the program here, which must say what is wrong, in one line, and end with code 1.</summary>
    protected static void Refuse(string says, params string[] args)
    {
        (int code, _, string error) = Run(args);
        Assert.That(error, Does.StartWith("error: ").And.Contains(says));
        Assert.That(error.TrimEnd(), Does.Not.Contain('\n'));
        Assert.That(code, Is.EqualTo(1));
    }

    /// <summary>Starts the program in a process of its own.</summary>
    protected static Process Start(params string[] args)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "asft-finetune.dll"), .. args])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["OMP_NUM_THREADS"] = "1";
        return Process.Start(start)!;
    }

    /// <summary>The arguments of a short training; what is given goes before what is usual.</summary>
    protected string[] Training(string output, params string[] more)
    {
        string[][] usual =
        [
            ["--steps", "8"], ["--batch", "5"], ["--rows", "2"], ["--length", "24"], ["--save-every", "1"], ["--learning-rate", "0.003"],
        ];
        return
        [
            "train", "--model", Model, "--data", Data, "--output", output, .. usual.Where(option => !more.Contains(option[0])).SelectMany(option => option),
            .. more,
        ];
    }
}
