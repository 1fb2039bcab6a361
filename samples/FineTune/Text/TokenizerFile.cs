using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace FineTune.Text;

/// <summary>A token that is taken out of the text before anything else is done to it.</summary>
internal sealed record AddedToken(string Content, int Id);

/// <summary>What a <c>tokenizer.json</c> asks for, if all of it is supported: byte-level byte-pair encoding, as of llama 3, qwen 2 and 3, and GPT-2.</summary>
/// <param name="Vocabulary">The ids of the tokens, which are written in the <see cref="ByteAlphabet"/>.</param>
/// <param name="Merges">The pairs to join, the first ones first.</param>
/// <param name="WholeFirst">Whether a piece that is a token is not split at all.</param>
/// <param name="Added">The added tokens, special ones and others.</param>
/// <param name="Nfc">Whether the text is brought into normalization form C.</param>
/// <param name="Patterns">The regular expressions that cut the text into pieces, one after another.</param>
/// <param name="Prefix">Tokens that stand before every text.</param>
internal sealed record TokenizerFile(
    IReadOnlyDictionary<string, int> Vocabulary,
    IReadOnlyList<(string Left, string Right)> Merges,
    bool WholeFirst,
    IReadOnlyList<AddedToken> Added,
    bool Nfc,
    IReadOnlyList<string> Patterns,
    IReadOnlyList<int> Prefix)
{
    private const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    /// <exception cref="UserErrorException">A part of it is missing, or not supported; the message names the part.</exception>
    public static TokenizerFile Parse(JsonElement file)
    {
        JsonElement model = Part(file, "model");
        Demand(Text(model, "type") is "BPE", "model.type", model, "type");
        foreach (string name in (string[])["continuing_subword_prefix", "end_of_word_suffix"])
        {
            Demand(Text(model, name) is null or "", $"model.{name}", model, name);
        }

        Demand(Number(model, "dropout") is 0, "model.dropout", model, "dropout");
        Demand(!Flag(model, "byte_fallback"), "model.byte_fallback", model, "byte_fallback");
        RequireByteLevelDecoder(file);
        AddedToken[] added = AddedTokens(file);
        var patterns = new List<string>();
        bool byteLevel = false;
        foreach (JsonElement step in Steps(file, "pre_tokenizer", "pretokenizers"))
        {
            if (PatternOf(step, ref byteLevel) is { } pattern)
            {
                patterns.Add(pattern);
            }
        }

        if (!byteLevel)
        {
            Refuse("pre_tokenizer without ByteLevel");
        }

        return new TokenizerFile(
            Vocabulary: Part(model, "vocab").EnumerateObject().ToDictionary(entry => entry.Name, entry => entry.Value.GetInt32(), StringComparer.Ordinal),
            Merges: [.. Part(model, "merges").EnumerateArray().Select(Merge)],
            WholeFirst: Flag(model, "ignore_merges"),
            Added: added,
            Nfc: WantsNfc(file),
            Patterns: patterns,
            Prefix: PrefixOf(file, added));
    }

    private static (string Left, string Right) Merge(JsonElement merge, int index)
    {
        // One text with a space between the two, or since 2024 an array of two.
        string[] pair = merge.ValueKind == JsonValueKind.String
            ? merge.GetString()!.Split(' ')
            : [.. merge.EnumerateArray().Select(part => part.GetString()!)];
        return pair.Length == 2
            ? (pair[0], pair[1])
            : throw new UserErrorException($"merge {index} of model.merges has {pair.Length} parts, and must have 2.");
    }

    private static AddedToken[] AddedTokens(JsonElement file)
    {
        if (!TryPart(file, "added_tokens", out JsonElement tokens))
        {
            return [];
        }

        var added = new List<AddedToken>();
        foreach (JsonElement token in tokens.EnumerateArray())
        {
            string content = Text(token, "content") ?? string.Empty;
            if (content.Length == 0)
            {
                throw new UserErrorException("added_tokens has a token without content.");
            }

            foreach (string flag in (string[])["single_word", "lstrip", "rstrip"])
            {
                Demand(!Flag(token, flag), $"added_tokens, '{content}': {flag}", token, flag);
            }

            // Looked for in the normalized text: the same thing where nothing is normalized.
            Demand(!Flag(token, "normalized") || !WantsNfc(file), $"added_tokens, '{content}': normalized", token, "normalized");
            added.Add(new AddedToken(content, Part(token, "id").GetInt32()));
        }

        return [.. added];
    }

    private static bool WantsNfc(JsonElement file)
    {
        bool wanted = false;
        foreach (JsonElement step in Steps(file, "normalizer", "normalizers"))
        {
            Demand(Text(step, "type") is "NFC", "normalizer", step, "type");
            wanted = true;
        }

        return wanted;
    }

    private static string? PatternOf(JsonElement step, ref bool byteLevel)
    {
        switch (Text(step, "type"))
        {
            case "Split":
                Demand(Text(step, "behavior") is "Isolated", "pre_tokenizer of type Split: behavior", step, "behavior");
                Demand(!Flag(step, "invert"), "pre_tokenizer of type Split: invert", step, "invert");
                return Text(Part(step, "pattern"), "Regex") ?? Refuse("pre_tokenizer of type Split: a pattern that is not a Regex");
            case "Digits":
                return Flag(step, "individual_digits") ? @"\p{N}" : @"\p{N}+";
            case "ByteLevel":
                Demand(!Flag(step, "add_prefix_space"), "pre_tokenizer of type ByteLevel: add_prefix_space", step, "add_prefix_space");
                byteLevel = true;
                return Flag(step, "use_regex", preset: true) ? Gpt2Pattern : null;
            default:
                Demand(false, "pre_tokenizer", step, "type");
                return null;
        }
    }

    private static void RequireByteLevelDecoder(JsonElement file)
    {
        foreach (JsonElement step in Steps(file, "decoder", "decoders"))
        {
            Demand(Text(step, "type") is "ByteLevel", "decoder", step, "type");
        }
    }

    /// <summary>The tokens that the post-processor's template puts before a text.</summary>
    private static int[] PrefixOf(JsonElement file, AddedToken[] added)
    {
        var prefix = new List<int>();
        foreach (JsonElement step in Steps(file, "post_processor", "processors"))
        {
            if (Text(step, "type") is "ByteLevel")
            {
                continue;
            }

            Demand(Text(step, "type") is "TemplateProcessing", "post_processor", step, "type");
            bool text = false;
            foreach (JsonElement piece in Part(step, "single").EnumerateArray())
            {
                if (TryPart(piece, "Sequence", out _))
                {
                    text = true;
                    continue;
                }

                string name = Text(Part(piece, "SpecialToken"), "id") ?? string.Empty;
                if (text)
                {
                    Refuse($"post_processor that puts '{name}' behind the text");
                }

                prefix.Add(added.FirstOrDefault(token => token.Content == name)?.Id
                    ?? throw new UserErrorException($"post_processor has the token '{name}', which is not among added_tokens."));
            }
        }

        return [.. prefix];
    }

    /// <summary>A part that may be one step, or a Sequence of them, or null.</summary>
    private static JsonElement[] Steps(JsonElement file, string name, string sequence) =>
        !TryPart(file, name, out JsonElement part) ? [] : Text(part, "type") is "Sequence" ? [.. Part(part, sequence).EnumerateArray()] : [part];

    private static bool TryPart(JsonElement element, string name, out JsonElement part) =>
        element.TryGetProperty(name, out part) && part.ValueKind != JsonValueKind.Null;

    private static JsonElement Part(JsonElement element, string name) =>
        TryPart(element, name, out JsonElement part) ? part : throw new UserErrorException($"there is no part named '{name}'.");

    private static string? Text(JsonElement element, string name) => TryPart(element, name, out JsonElement part) ? part.GetString() : null;

    private static double Number(JsonElement element, string name) => TryPart(element, name, out JsonElement part) ? part.GetDouble() : 0;

    private static bool Flag(JsonElement element, string name, bool preset = false) =>
        TryPart(element, name, out JsonElement part) ? part.GetBoolean() : preset;

    /// <summary>Refuses what <paramref name="name"/> of <paramref name="element"/> says, unless it is supported.</summary>
    private static void Demand(bool supported, string place, JsonElement element, string name)
    {
        if (!supported)
        {
            Refuse(TryPart(element, name, out JsonElement value) ? $"{place} {value.GetRawText()}" : $"{place} that is not said");
        }
    }

    [DoesNotReturn]
    private static string Refuse(string part) => throw new UserErrorException($"{part} is not supported.");
}
