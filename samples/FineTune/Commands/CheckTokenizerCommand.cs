using System.CommandLine;
using FineTune.Text;

namespace FineTune.Commands;

/// <summary><c>check-tokenizer</c>: says whether a checkpoint's tokenizer and chat template are supported, before anything is trained.</summary>
internal static class CheckTokenizerCommand
{
    public static Command Make()
    {
        var model = Values.RequiredPath("--model", "dir", "The checkpoint.");
        var text = new Option<string?>("--text") { HelpName = "text", Description = "A text to encode, and to decode again." };
        var command = new Command("check-tokenizer", "Says whether a checkpoint's tokenizer is supported, and what it makes of a text.") { model, text };
        command.SetAction(parsed =>
        {
            TokenizerCheck.Write(Console.Out, parsed.GetRequiredValue(model), parsed.GetValue(text));
            return 0;
        });
        return command;
    }
}
