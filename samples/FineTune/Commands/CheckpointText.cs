using FineTune.Checkpoint;
using FineTune.Text;

namespace FineTune.Commands;

/// <summary>What turns texts into a checkpoint's tokens: its tokenizer, and its chat template where it has one.</summary>
internal sealed class CheckpointText(string folder) : IDisposable
{
    private readonly ChatTemplate? template = ChatTemplate.Load(folder);

    public Tokenizer Tokenizer { get; } = Tokenizer.Load(folder);

    /// <summary>A token that can stand where none is read.</summary>
    public int Padding => Tokenizer.EndOfText ?? 0;

    /// <summary>The tokens that end an answer: the tokenizer's and the config's.</summary>
    public IReadOnlySet<int> Ends(ModelConfig config) =>
        Tokenizer.EndOfText is { } end ? new HashSet<int>(config.EndTokens) { end } : new HashSet<int>(config.EndTokens);

    /// <summary>Reads examples, and says on the screen what became of them.</summary>
    public TokenizedExample[] Read(string path, int length)
    {
        TokenizedExample[] examples = Examples.Read(path, Tokenizer, template, length, out ExamplesReport report);
        Console.WriteLine($"{path}: {report}");
        return examples;
    }

    /// <summary>The tokens that a model answers to.</summary>
    public int[] Prompt(string prompt) => Examples.EncodePrompt(prompt, Tokenizer, template);

    public void Dispose() => template?.Dispose();
}
