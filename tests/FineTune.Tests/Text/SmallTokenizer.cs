using System.Text.Json;
using System.Text.Json.Nodes;
using FineTune.Text;

namespace FineTune.Tests.Text;

/// <summary>
/// A hand-made checkpoint folder with a tokenizer: the token of byte b has the id b, merge number m gives the token 256 + m, and added tokens
/// follow from 1000.
/// </summary>
internal static class SmallTokenizer
{
    public const int FirstMerge = 256;
    public const int Begin = 1000;
    public const int End = 1001;

    /// <summary>llama 3's pattern.</summary>
    public const string Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Writes the two files.</summary>
    /// <param name="folder">Where to.</param>
    /// <param name="merges">The pairs, each with a space between the two.</param>
    /// <param name="change">What to make different in <c>tokenizer.json</c>.</param>
    public static void Write(string folder, string[] merges, Action<JsonObject>? change = null)
    {
        var vocabulary = new JsonObject();
        for (int value = 0; value < 256; value++)
        {
            vocabulary[ByteAlphabet.Letter((byte)value).ToString()] = value;
        }

        for (int merge = 0; merge < merges.Length; merge++)
        {
            vocabulary[merges[merge].Replace(" ", "", StringComparison.Ordinal)] = FirstMerge + merge;
        }

        var file = new JsonObject
        {
            ["added_tokens"] = new JsonArray(Added("<|begin|>", Begin), Added("<|end|>", End), Added("<|end|>!", End + 1)),
            ["normalizer"] = null,
            ["pre_tokenizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["pretokenizers"] = new JsonArray(
                    new JsonObject
                    {
                        ["type"] = "Split",
                        ["pattern"] = new JsonObject { ["Regex"] = Pattern },
                        ["behavior"] = "Isolated",
                        ["invert"] = false,
                    },
                    new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["use_regex"] = false }),
            },
            ["post_processor"] = null,
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel" },
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["ignore_merges"] = false,
                ["vocab"] = vocabulary,
                ["merges"] = new JsonArray([.. merges.Select(merge => JsonValue.Create(merge))]),
            },
        };
        change?.Invoke(file);
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), file.ToJsonString(JsonSerializerOptions.Default));
        File.WriteAllText(
            Path.Combine(folder, "tokenizer_config.json"), """{"bos_token": "<|begin|>", "eos_token": {"content": "<|end|>"}}""");
    }

    private static JsonObject Added(string content, int id) =>
        new() { ["content"] = content, ["id"] = id, ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false, ["normalized"] = false };
}
