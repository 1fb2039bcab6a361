using System.CommandLine;
using FineTune.Text;

namespace FineTune.Commands;

/// <summary><c>check-tokenizer</c>: says whether a checkpoint's tokenizer and chat template are supported, before anything is trained.</summary>
internal static class CheckTokenizerCommand
{
    private const string Sample = "Straße 12, 東京, naïve 🙂";

    public static Command Make()
    {
        var model = Values.RequiredPath("--model", "dir", "The checkpoint.");
        var text = new Option<string>("--text") { HelpName = "text", Description = "A text to split.", DefaultValueFactory = _ => Sample };
        var command = new Command("check-tokenizer", "Says whether a checkpoint's tokenizer is supported, and how it splits a text.") { model, text };
        command.SetAction(parsed =>
        {
            using var checkpoint = new CheckpointText(parsed.GetRequiredValue(model));
            int[] tokens = checkpoint.Tokenizer.Encode(parsed.GetRequiredValue(text));
            Console.WriteLine($"Supported: {checkpoint.Tokenizer.VocabularySize} tokens; {(checkpoint.HasTemplate ? "with" : "without")} a chat template.");
            Console.WriteLine($"{string.Join(" ", tokens)}");
            Console.WriteLine(checkpoint.Tokenizer.Decode(tokens));
            return 0;
        });
        return command;
    }
}
