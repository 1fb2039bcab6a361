namespace FineTune.Text;

/// <summary>A prompt and its response as tokens.</summary>
/// <param name="Tokens">The prompt's tokens, then the response's.</param>
/// <param name="PromptLength">How many of them are the prompt, which the model reads and does not learn.</param>
internal sealed record TokenizedExample(int[] Tokens, int PromptLength);
