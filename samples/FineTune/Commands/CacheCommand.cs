using System.CommandLine;
using Asft.Interop;
using FineTune.Checkpoint;
using FineTune.Text;
using FineTune.Transformer;
using FineTune.Tuning;
using static TorchSharp.torch;

namespace FineTune.Commands;

/// <summary><c>cache</c>: runs a checkpoint on examples once, so that no training on them has to.</summary>
internal static class CacheCommand
{
    private const int ReportEvery = 100;

    private const string Description =
        """
        Runs a checkpoint on each example once and keeps what it says, so that train --cache needs no reference model. An interrupted run goes on
        where it ended.
        """;

    public static Command Make(CancellationToken stop)
    {
        var model = Values.Model();
        var data = Values.Data();
        var output = Values.RequiredPath("--output", "dir", "Where the cache goes.");
        var form = CommandLine.OneOf(
            "--form",
            CacheForm.Hidden,
            "What is kept of a token. hidden: the hidden state, for the exact KL divergence; top-k: the most likely entries, for a lower bound of it; "
            + "labels: the label's log-probability, for the estimators k1, k2 and k3.",
            CacheForm.Hidden,
            CacheForm.TopK,
            CacheForm.Labels);
        var k = CommandLine.WholeNumber("--k", 64, 1, "Entries of the form top-k.");
        var exact = new Option<bool>("--float32") { Description = "Keeps float32 numbers rather than bfloat16 ones." };
        var type = Values.Type();
        var length = Values.Length();
        var command = new Command("cache", Description) { model, data, output, form, k, exact, type, length };
        command.SetAction(parsed =>
        {
            using var text = new CheckpointText(parsed.GetRequiredValue(model));
            TokenizedExample[] examples = text.Read(parsed.GetRequiredValue(data), parsed.GetValue(length));
            using Decoder reference = CheckpointReader.Load(parsed.GetRequiredValue(model), Values.TypeOf(parsed.GetRequiredValue(type)));
            using ReferenceCache cache = ReferenceMaker.OpenOrCreate(
                parsed.GetRequiredValue(output),
                ReferenceSource.Identity(CheckpointIdentity.Of(parsed.GetRequiredValue(model)), examples),
                reference,
                examples,
                new CacheForm(parsed.GetRequiredValue(form), Math.Min(parsed.GetValue(k), reference.Config.Vocabulary)),
                new ReferenceCacheOptions { StorageType = parsed.GetValue(exact) ? ScalarType.Float32 : ScalarType.BFloat16 },
                number =>
                {
                    stop.ThrowIfCancellationRequested();
                    if (number % ReportEvery == 0)
                    {
                        Console.WriteLine($"Example {number} of {examples.Length}");
                    }
                });
            Console.WriteLine($"{parsed.GetValue(output)} has {cache.Count} examples of {cache.Form}.");
            return 0;
        });
        return command;
    }
}
