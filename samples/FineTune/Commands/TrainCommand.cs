using System.CommandLine;
using Asft.Distributed;
using Asft.Interop;
using Asft.Kernels;
using FineTune.Report;
using FineTune.Transformer;
using FineTune.Tuning;

namespace FineTune.Commands;

/// <summary><c>train</c>: from a checkpoint to a fine-tuned one.</summary>
internal static class TrainCommand
{
    private const string Description =
        """
        Fine-tunes a checkpoint on examples, and writes another checkpoint. The state is saved on the way: after a crash or Ctrl-C, the same
        command with --resume goes on as if nothing had happened.
        """;

    public static Command Make(CancellationToken stop)
    {
        var model = Values.Model();
        var data = Values.Data();
        var output = Values.RequiredPath("--output", "dir", "Where the checkpoint goes, the state, metrics.jsonl and training.png.");
        var mode = CommandLine.OneOf("--mode", "asft", "What is minimized.", "sft", "dft", "sft-kl", "asft");
        var klWeight = CommandLine.Number(
            "--kl-weight", 0.05, value => value is >= 0 and <= float.MaxValue, "a number, at least 0, that float32 can hold", "Weight of the KL divergence.");
        var klDirection = CommandLine.OneOf(
            "--kl-direction", "forward", "forward: KL(reference || model); reverse: KL(model || reference).", "forward", "reverse");
        var klEstimator = CommandLine.OneOf(
            "--kl-estimator", "exact", "exact, or from the labels' probabilities alone, as for a cache of the form labels.", "exact", "k1", "k2", "k3");
        var reference = CommandLine.OneOf(
            "--reference",
            "auto",
            "The model that the KL divergence is from. frozen: another one in memory, the base model unless --reference-model says otherwise; "
            + "adapters-off: the model without its adapters; cached: --cache; auto: what the other options need.",
            "auto",
            References.None,
            References.Frozen,
            References.AdaptersOff,
            References.Cached);
        var referenceModel = Values.Path("--reference-model", "dir", "A checkpoint that is to be the frozen reference.");
        var cache = Values.Path("--cache", "dir", "What the command cache wrote of the same checkpoint and examples.");
        var rank = CommandLine.WholeNumber("--lora-rank", 0, 0, "Rank of LoRA adapters, which the checkpoint has in its weights at the end; 0: all weights are trained.");
        var alpha = Values.OptionalNumber(
            "--lora-alpha", value => value is > 0 and <= float.MaxValue, "a number above 0", "Their updates count alpha / rank times. [default: twice the rank]");
        var dropout = CommandLine.Number("--lora-dropout", 0, value => value is >= 0 and < 1, "a number from 0 to below 1", "Share of their inputs that is left out.");
        var targets = new Option<string[]>("--lora-targets")
        {
            HelpName = "names",
            Description = "The projections that get one, of " + string.Join(", ", LoraOptions.AllTargets) + ". [default: all]",
            AllowMultipleArgumentsPerToken = true,
            CustomParser = result => [.. result.Tokens.SelectMany(token => token.Value.Split(',', StringSplitOptions.RemoveEmptyEntries))],
        };
        var type = Values.Type();
        var steps = Values.OptionalWholeNumber("--steps", "Optimizer steps. [default: what --epochs takes]");
        var epochs = CommandLine.Number("--epochs", 3, value => value is > 0 and <= 1e6, "a number above 0", "How often each example is seen.");
        var batch = CommandLine.WholeNumber("--batch", 16, 1, "Examples of a step.");
        var rows = CommandLine.WholeNumber("--rows", 4, 1, "Rows of examples that go through the model together: more are faster, and take more memory.");
        var length = Values.Length();
        var noPacking = new Option<bool>("--no-packing") { Description = "A row for each example, rather than as many examples as fit." };
        var recompute = new Option<bool>("--recompute") { Description = "Layers keep their inputs only, and compute the rest again on the way back: less memory, more time." };
        var learningRate = Values.OptionalNumber(
            "--learning-rate", value => value is > 0 and <= 1, "a number above 0, at most 1", "Peak learning rate. [default: 1e-5, and 1e-4 of adapters]");
        var warmUp = CommandLine.Number("--warm-up", 0.03, value => value is >= 0 and < 1, "a number from 0 to below 1", "Share of the steps in which the rate rises.");
        var weightDecay = CommandLine.Number("--weight-decay", 0, value => value is >= 0 and <= 1, "a number from 0 to 1", "Of matrices.");
        var clip = CommandLine.Number("--clip", 1, value => value is > 0 and <= float.MaxValue, "a number above 0", "Gradients are scaled down to this norm.");
        var seed = CommandLine.WholeNumber("--seed", 1, 0, "Seed of the order of the examples, of adapters and of dropout.");
        var saveEvery = CommandLine.WholeNumber("--save-every", 100, 1, "Steps between two saved states.");
        var resume = new Option<bool>("--resume") { Description = "Goes on with the training in --output, or begins it." };
        var dataParallel = new Option<bool>("--data-parallel")
        {
            Description = "Divides the rows of each step among the ranks of an MPI job, of which the first one reads the weights, and writes.",
        };

        var command = new Command("train", Description)
        {
            model, data, output, mode, klWeight, klDirection, klEstimator, reference, referenceModel, cache, rank, alpha, dropout, targets, type, steps, epochs,
            batch, rows, length, noPacking, recompute, learningRate, warmUp, weightDecay, clip, seed, saveEvery, resume, dataParallel,
        };
        command.SetAction(parsed =>
        {
            int loraRank = parsed.GetValue(rank);
            LossObjective objective = Objective(parsed.GetRequiredValue(mode), parsed.GetValue(klWeight)) with
            {
                KlDirection = parsed.GetValue(klDirection) == "forward" ? KlDirection.Forward : KlDirection.Reverse,
                KlEstimator = Enum.Parse<KlEstimator>(parsed.GetRequiredValue(klEstimator), ignoreCase: true),
            };
            string[] names = parsed.GetValue(targets) is { Length: > 0 } some ? some : [.. LoraOptions.AllTargets];
            if (names.FirstOrDefault(name => !LoraOptions.AllTargets.Contains(name)) is { } unknown)
            {
                throw new UserErrorException($"--lora-targets must be of {string.Join(", ", LoraOptions.AllTargets)}, not '{unknown}'.");
            }

            string source = parsed.GetRequiredValue(reference);
            return Run(
                new TrainOptions
                {
                    Model = parsed.GetRequiredValue(model),
                    Data = parsed.GetRequiredValue(data),
                    Output = parsed.GetRequiredValue(output),
                    Objective = objective,
                    Mode = parsed.GetRequiredValue(mode),
                    Reference = source == "auto" ? null : source,
                    ReferenceModel = parsed.GetValue(referenceModel),
                    Cache = parsed.GetValue(cache),
                    Lora = loraRank == 0 ? null : new LoraOptions(loraRank, parsed.GetValue(alpha) ?? 2 * loraRank, parsed.GetValue(dropout), names),
                    Type = Values.TypeOf(parsed.GetRequiredValue(type)),
                    Steps = parsed.GetValue(steps),
                    Epochs = parsed.GetValue(epochs),
                    Batch = parsed.GetValue(batch),
                    Rows = parsed.GetValue(rows),
                    Length = parsed.GetValue(length),
                    Packing = !parsed.GetValue(noPacking),
                    Recompute = parsed.GetValue(recompute),
                    LearningRate = parsed.GetValue(learningRate),
                    WarmUp = parsed.GetValue(warmUp),
                    WeightDecay = parsed.GetValue(weightDecay),
                    MaxGradientNorm = parsed.GetValue(clip),
                    Seed = parsed.GetValue(seed),
                    SaveEvery = parsed.GetValue(saveEvery),
                    Resume = parsed.GetValue(resume),
                    DataParallel = parsed.GetValue(dataParallel),
                },
                stop);
        });
        return command;
    }

    private static int Run(TrainOptions options, CancellationToken stop)
    {
        using IProcessGroup? group = options.DataParallel ? ProcessGroup.Join() : null;
        using var text = new CheckpointText(options.Model);
        using var run = new TrainingRun(options, text.Read(options.Data, options.Length), text.Padding, group);
        if (group is null or { Rank: 0 })
        {
            TrainingLog.Watch(options.Output, run.Step, log => run.Run(log, stop));
        }
        else
        {
            run.Run(new NoLog(), stop);
        }

        return 0;
    }

    private static LossObjective Objective(string mode, double klWeight) => mode switch
    {
        "sft" => LossObjective.Sft,
        "dft" => LossObjective.Dft,
        "sft-kl" => LossObjective.SftKl(klWeight),
        _ => LossObjective.Asft(klWeight),
    };
}
