using System.CommandLine;
using FineTune.Checkpoint;
using FineTune.Text;
using FineTune.Transformer;
using FineTune.Tuning;

namespace FineTune.Commands;

/// <summary><c>eval</c>: how well a checkpoint knows responses, and how far it is from another one.</summary>
internal static class EvalCommand
{
    public static Command Make(CancellationToken stop)
    {
        var model = Values.Model();
        var data = Values.Data();
        var referenceModel = Values.Path("--reference-model", "dir", "A checkpoint that the KL divergence is from, such as the base model.");
        var answers = CommandLine.WholeNumber("--answers", 0, 0, "How many of the prompts to answer too, and see whether the answer is the response.");
        var rows = CommandLine.WholeNumber("--rows", 4, 1, "Examples that go through the model together.");
        var length = Values.Length();
        var type = Values.Type();
        var command = new Command("eval", "Measures a checkpoint on examples.") { model, data, referenceModel, answers, rows, length, type };
        command.SetAction(parsed =>
        {
            string folder = parsed.GetRequiredValue(model);
            using var text = new CheckpointText(folder);
            TokenizedExample[] examples = text.Read(parsed.GetRequiredValue(data), parsed.GetValue(length));
            if (examples.Length == 0)
            {
                throw new UserErrorException($"There is nothing to measure in '{parsed.GetValue(data)}'.");
            }

            using Decoder decoder = CheckpointReader.Load(folder, Values.TypeOf(parsed.GetRequiredValue(type)));
            using Decoder? reference = parsed.GetValue(referenceModel) is { } other ? CheckpointReader.Load(other, decoder.Type) : null;
            Measurement result = Measurement.Of(
                decoder, reference is null ? null : new FrozenAnchor(reference), examples, text.Padding, parsed.GetValue(rows), stop);
            Console.WriteLine($"loss              {result.Loss:F4} nats a token, perplexity {Math.Exp(result.Loss):F3}");
            Console.WriteLine($"label probability {result.LabelProbability:F4}");
            Console.WriteLine($"likeliest token   is the label in {100 * result.Accuracy:F1} %");
            Console.WriteLine($"entropy           {result.Entropy:F4} nats a token");
            if (reference is not null)
            {
                Console.WriteLine($"KL from reference {result.Kl:F5} nats a token");
            }

            if (Math.Min(parsed.GetValue(answers), examples.Length) is > 0 and var asked)
            {
                int right = examples.Take(asked).Count(example => Measurement.IsAnswered(decoder, example, text.Ends(decoder.Config), stop));
                Console.WriteLine($"answers           {right} of {asked} are the response, {100.0 * right / asked:F1} %");
            }

            return 0;
        });
        return command;
    }
}
