using System.Text.Json;
using FineTune.Problems;

namespace FineTune.Text;

/// <summary>
/// Reads what a model is fine-tuned on: one JSON object per line, with the texts "prompt" and "response", or with "messages", of which the last
/// one, the assistant's, is the response. Blank lines are skipped.
/// </summary>
internal static class Examples
{
    private const string Assistant = "assistant";

    /// <param name="path">The file.</param>
    /// <param name="tokenizer">The model's.</param>
    /// <param name="template">
    /// The model's chat template: pairs become conversations of one turn. Without it, a pair is the prompt, the response right behind it, and the end
    /// of the text; lines of messages are refused.
    /// </param>
    /// <param name="maximumLength">The most tokens of an example; what is beyond is cut off.</param>
    /// <param name="report">What was cut off, and how much is left.</param>
    /// <exception cref="UserErrorException">The file cannot be read, or a line not used; the message has the line's number and the reason.</exception>
    public static TokenizedExample[] Read(
        string path, Tokenizer tokenizer, ChatTemplate? template, int maximumLength, out ExamplesReport report)
    {
        var examples = new List<TokenizedExample>();
        int lines = 0;
        int truncated = 0;
        long cut = 0;
        foreach (TokenizedExample example in JsonLines.Read(path, (line, place) => Tokenize(line, place, tokenizer, template)))
        {
            lines++;
            if (example.PromptLength >= maximumLength)
            {
                continue;
            }

            int excess = Math.Max(0, example.Tokens.Length - maximumLength);
            truncated += excess > 0 ? 1 : 0;
            cut += excess;
            examples.Add(excess > 0 ? example with { Tokens = example.Tokens[..maximumLength] } : example);
        }

        report = new ExamplesReport(
            lines,
            truncated,
            Dropped: lines - examples.Count,
            cut,
            Tokens: examples.Sum(example => (long)example.Tokens.Length),
            Labels: examples.Sum(example => (long)(example.Tokens.Length - example.PromptLength)));
        return [.. examples];
    }

    /// <summary>The tokens that a model answers to, as those of an example's prompt.</summary>
    /// <param name="prompt">What the user says.</param>
    /// <param name="tokenizer">The model's.</param>
    /// <param name="template">The model's chat template, or null.</param>
    /// <exception cref="UserErrorException">The template refuses the prompt.</exception>
    public static int[] EncodePrompt(string prompt, Tokenizer tokenizer, ChatTemplate? template) => template is null
        ? [.. tokenizer.Prefix, .. tokenizer.Encode(prompt)]
        : tokenizer.Encode(template.Render($"[{Message("user", prompt)}]", addGenerationPrompt: true));

    private static TokenizedExample Tokenize(JsonElement line, string place, Tokenizer tokenizer, ChatTemplate? template)
    {
        if (line.ValueKind == JsonValueKind.Object && line.TryGetProperty("messages", out JsonElement messages))
        {
            return OfMessages(Messages(messages, place), place, tokenizer, template);
        }

        Example pair = JsonLines.Pair(line, place);
        if (template is not null)
        {
            return OfMessages([Message("user", pair.Prompt), Message(Assistant, pair.Response)], place, tokenizer, template);
        }

        int[] end = tokenizer.EndOfText is { } token ? [token] : [];
        return Join([.. tokenizer.Prefix, .. tokenizer.Encode(pair.Prompt)], [.. tokenizer.Encode(pair.Response), .. end]);
    }

    /// <summary>The texts of the messages' objects, all of the right form.</summary>
    private static string[] Messages(JsonElement messages, string place)
    {
        string role = string.Empty;
        string content = string.Empty;
        foreach (JsonElement message in messages.ValueKind == JsonValueKind.Array ? messages.EnumerateArray() : default)
        {
            role = JsonLines.Text(message, place, "role");
            content = message.TryGetProperty("content", out JsonElement value) && value.ValueKind == JsonValueKind.Null
                ? string.Empty // as where an assistant calls tools
                : JsonLines.Text(message, place, "content");
        }

        if (role != Assistant)
        {
            throw new UserErrorException($"{place}: \"messages\" must end with a message of the assistant, which is the response.");
        }

        return content.Length == 0
            ? throw new UserErrorException($"{place}: the response is empty.")
            : [.. messages.EnumerateArray().Select(message => message.GetRawText())];
    }

    private static TokenizedExample OfMessages(string[] messages, string place, Tokenizer tokenizer, ChatTemplate? template)
    {
        if (template is null)
        {
            throw new UserErrorException($"{place}: it has \"messages\", and the model has no chat template.");
        }

        string prompt;
        string whole;
        try
        {
            prompt = template.Render($"[{string.Join(',', messages[..^1])}]", addGenerationPrompt: true);
            whole = template.Render($"[{string.Join(',', messages)}]", addGenerationPrompt: false);
        }
        catch (UserErrorException error)
        {
            throw new UserErrorException($"{place}: {error.Message}");
        }

        return whole.StartsWith(prompt, StringComparison.Ordinal)
            ? Join(tokenizer.Encode(prompt), tokenizer.Encode(whole[prompt.Length..]))
            : throw new UserErrorException(
                $"{place}: the chat template does not write the conversation as the prompt and what follows it, so that there is no telling what "
                + "the response is.");
    }

    /// <summary>
    /// Each tokenized alone, as when the model answers: a token that covers both ends would be one that it never sees there.
    /// </summary>
    private static TokenizedExample Join(int[] prompt, int[] response) => new([.. prompt, .. response], prompt.Length);

    private static string Message(string role, string content) => JsonSerializer.Serialize(new Dictionary<string, string> { ["role"] = role, ["content"] = content });
}
