using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Runtime.InteropServices;
using Asft.Kernels;
using FineTune.Commands;
using FineTune.Training;

namespace FineTune;

/// <summary>
/// The options and their help; a bad one, or a file that cannot be used, ends the program with one sentence and exit code 1, and
/// Ctrl-C ends it with exit code 130, SIGTERM with 143.
/// </summary>
internal static class CommandLine
{
    private const string Program =
        """
        Fine-tunes language models with SFT, DFT, SFT+KL and ASFT: a checkpoint's folder, as Hugging Face has them, and a file of prompts and
        responses in, a fine-tuned checkpoint out.
        """;

    private const string Description =
        """
        Fine-tunes a small language model four ways and shows what each learns and what each forgets.

        A byte-level transformer is pretrained on four kinds of reasoning problems, solved step by step; of the additions it sees mostly
        easy ones. Copies of it are then fine-tuned on additions, some of them wrong, with SFT, DFT, SFT+KL and ASFT. The report has:
        the answers it gets right on held-out problems (greedy decoding, final answer only), the same on the other kinds of problems,
        the KL divergence from the base model per response token, the median time of a training step, and the memory of a step: how
        far the process's resident memory rises while one runs, above what it was before, with the model and its optimizer in place.
        """;

    private const int UserError = 1;

    // As a shell says it of a signal.
    private const int Interrupted = 128 + 2;
    private const int Terminated = 128 + 15;

    public static int Run(string[] args)
    {
        int stopped = Interrupted;
        using var stop = new CancellationTokenSource();
        void Stop(PosixSignalContext signal)
        {
            // The first Ctrl-C, or SIGTERM as clusters send it, lets the step end; a second one does not wait for it.
            signal.Cancel = !stop.IsCancellationRequested;
            stopped = signal.Signal == PosixSignal.SIGTERM ? Terminated : Interrupted;
            stop.Cancel();
        }

        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        try
        {
            return Run(args, stop.Token);
        }
        catch (OperationCanceledException)
        {
            Console.Error.WriteLine("Stopped.");
            return stopped;
        }
        catch (Exception error) when (
            error is UserErrorException or IOException or InvalidDataException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"error: {error.Message}");
            return UserError;
        }
    }

    private static int Run(string[] args, CancellationToken stop)
    {
        var command = new RootCommand(Program)
        {
            TrainCommand.Make(stop), EvalCommand.Make(stop), GenerateCommand.Make(stop), CacheCommand.Make(stop), CheckTokenizerCommand.Make(),
            ExperimentCommand.Make(stop), MakeDemo(stop),
        };
        ParseResult parsed = command.Parse(args);
        return parsed.Errors.Count == 0
            ? parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false })
            : throw new UserErrorException(parsed.Errors[0].Message);
    }

    private static Command MakeDemo(CancellationToken stop)
    {
        var data = new Option<string?>("--data")
        {
            HelpName = "file.jsonl",
            CustomParser = PathOf,
            Description = "Demonstrations of your own: one JSON object per line, with the texts \"prompt\" and \"response\". "
                + "A tenth is held out, and an answer is right if it equals the response exactly. Default: additions.",
        };
        var mode = OneOf("--mode", Mode.AllModes, "How to fine-tune.", "sft", "dft", "sft-kl", "asft", Mode.AllModes);
        var klWeight = Number(
            "--kl-weight",
            0.05,
            value => value is >= 0 and <= float.MaxValue,
            "a number, at least 0, that float32 can hold",
            "Weight of the KL divergence in SFT+KL and ASFT.");
        var klDirection = OneOf(
            "--kl-direction",
            "forward",
            "forward: KL(base || model); reverse: KL(model || base). For the losses and for the report.",
            "forward",
            "reverse");
        var head = OneOf(
            "--head",
            "logits",
            "What the loss takes. logits: asft_loss, in place; linear: hidden states and the output projection, linear_asft_loss.",
            "logits",
            "linear");
        var reference = OneOf(
            "--reference",
            "frozen",
            "The base model in the loss. frozen: run in every step; cached: its hidden states, written once to --output and read back "
            + "(with --head linear).",
            "frozen",
            "cached");
        var steps = WholeNumber("--steps", 240, 1, "Fine-tuning steps of each mode, of 32 demonstrations each.");
        var learningRate = Number(
            "--learning-rate",
            1e-3,
            value => value is > 0 and <= 1,
            "a number above 0, at most 1",
            "Peak learning rate of the fine-tuning, the same for each mode.");
        var wrongShare = Number(
            "--wrong-share",
            0.3,
            value => value is >= 0 and <= 1,
            "a number from 0 to 1",
            "Share of wrong demonstrations among the additions.");
        var seed = WholeNumber("--seed", 1, 0, "Seed of everything random: the same seed gives the same results on the same machine.");
        var output = new Option<string>("--output")
        {
            HelpName = "dir",
            CustomParser = PathOf,
            Description = "Where to write fine-tune.png, the curves of learning and drift.",
            DefaultValueFactory = _ => "out",
        };

        var dataParallel = new Option<bool>("--data-parallel")
        {
            Description = "Divides the examples of each batch among the ranks of an MPI job: mpirun -n 2 ./build.sh demo --data-parallel.",
        };
        var vocabularyParallel = new Option<bool>("--vocabulary-parallel")
        {
            Description = "Divides the rows of the output projection among the ranks of an MPI job; the loss is that of --head linear.",
        };

        var command = new Command("demo", Description)
        {
            data, mode, klWeight, klDirection, head, reference, steps, learningRate, wrongShare, seed, output, dataParallel, vocabularyParallel,
        };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(reference) == "cached" && parsed.GetValue(head) != "linear")
            {
                throw new UserErrorException("--reference cached needs --head linear: what is cached are the hidden states before the head.");
            }

            bool divides = parsed.GetValue(dataParallel) || parsed.GetValue(vocabularyParallel);
            if (parsed.GetValue(dataParallel) && parsed.GetValue(vocabularyParallel))
            {
                throw new UserErrorException("--data-parallel and --vocabulary-parallel exclude each other: a job's ranks divide one of the two.");
            }

            if (divides && parsed.GetValue(reference) == "cached")
            {
                throw new UserErrorException("--reference cached is for one process: the ranks would write the same cache.");
            }

            return Demo.Run(new Options(
                parsed.GetValue(data),
                parsed.GetRequiredValue(mode),
                parsed.GetValue(klWeight),
                parsed.GetRequiredValue(klDirection) == "forward" ? KlDirection.Forward : KlDirection.Reverse,
                parsed.GetRequiredValue(head) == "linear" || parsed.GetValue(vocabularyParallel),
                parsed.GetRequiredValue(reference) == "cached",
                parsed.GetValue(steps),
                parsed.GetValue(learningRate),
                parsed.GetValue(wrongShare),
                parsed.GetValue(seed),
                parsed.GetRequiredValue(output),
                parsed.GetValue(dataParallel) ? Division.Batches : parsed.GetValue(vocabularyParallel) ? Division.Vocabulary : Division.Nothing), stop);
        });
        return command;
    }

    internal static Option<string> OneOf(string name, string preset, string description, params string[] values) => new(name)
    {
        HelpName = string.Join('|', values),
        Description = description,
        DefaultValueFactory = _ => preset,
        CustomParser = result => values.Contains(Text(result))
            ? Text(result)
            : Reject(result, $"one of {string.Join(", ", values)}", preset),
    };

    internal static Option<double> Number(string name, double preset, Func<double, bool> valid, string wanted, string description) => new(name)
    {
        HelpName = "number",
        Description = description,
        DefaultValueFactory = _ => preset,
        CustomParser = result =>
            double.TryParse(Text(result), NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && valid(value)
                ? value
                : Reject(result, wanted, preset),
    };

    internal static Option<int> WholeNumber(string name, int preset, int least, string description) => new(name)
    {
        HelpName = "number",
        Description = description,
        DefaultValueFactory = _ => preset,
        CustomParser = result =>
            int.TryParse(Text(result), NumberStyles.Integer, CultureInfo.InvariantCulture, out int value) && value >= least
                ? value
                : Reject(result, $"a whole number, at least {least}", preset),
    };

    internal static string PathOf(ArgumentResult result) => Text(result) is { Length: > 0 } path ? path : Reject(result, "a path", string.Empty);

    internal static string Text(ArgumentResult result) => result.Tokens[0].Value;

    /// <summary>Notes the error, which ends the program; until then <paramref name="placeholder"/> stands for the value.</summary>
    internal static T Reject<T>(ArgumentResult result, string wanted, T placeholder)
    {
        result.AddError($"{((OptionResult)result.Parent!).Option.Name} must be {wanted}, not '{Text(result)}'.");
        return placeholder;
    }
}
