using System.CommandLine;
using FineTune.Checkpoint;
using FineTune.Transformer;

namespace FineTune.Commands;

/// <summary><c>generate</c>: a checkpoint's answer to a prompt.</summary>
internal static class GenerateCommand
{
    public static Command Make(CancellationToken stop)
    {
        var model = Values.Model();
        var prompt = new Option<string>("--prompt") { HelpName = "text", Required = true, Description = "What is asked." };
        var tokens = CommandLine.WholeNumber("--tokens", 256, 1, "The most tokens of the answer.");
        var type = Values.Type();
        var command = new Command("generate", "Answers a prompt with the likeliest token each time.") { model, prompt, tokens, type };
        command.SetAction(parsed =>
        {
            using var text = new CheckpointText(parsed.GetRequiredValue(model));
            using Decoder decoder = CheckpointReader.Load(parsed.GetRequiredValue(model), Values.TypeOf(parsed.GetRequiredValue(type)));
            int[] answer = TextGenerator.Answer(
                decoder, text.Prompt(parsed.GetRequiredValue(prompt)), parsed.GetValue(tokens), text.Ends(decoder.Config), stop);
            Console.WriteLine(text.Tokenizer.Decode(answer));
            return 0;
        });
        return command;
    }
}
