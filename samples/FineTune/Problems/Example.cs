namespace FineTune.Problems;

/// <summary>A prompt, and a response that shows how to answer it.</summary>
internal sealed record Example(string Prompt, string Response);
