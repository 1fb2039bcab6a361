using System.CommandLine;
using System.Globalization;
using static TorchSharp.torch;

namespace FineTune.Commands;

/// <summary>Options that several commands have, and kinds of options that the demo has none of.</summary>
internal static class Values
{
    private const string OwnType = "checkpoint";

    /// <summary>A path that must be given.</summary>
    public static Option<string> RequiredPath(string name, string help, string description) => new(name)
    {
        HelpName = help,
        Description = description,
        Required = true,
        CustomParser = CommandLine.PathOf,
    };

    /// <summary>A path that need not be given.</summary>
    public static Option<string?> Path(string name, string help, string description) => new(name)
    {
        HelpName = help,
        Description = description,
        CustomParser = CommandLine.PathOf,
    };

    /// <summary>The checkpoint to start from.</summary>
    public static Option<string> Model() => RequiredPath(
        "--model", "dir", "The checkpoint: config.json of a llama, qwen2 or qwen3 model, safetensors files, tokenizer.json.");

    /// <summary>The examples.</summary>
    public static Option<string> Data() => RequiredPath(
        "--data", "file.jsonl", "One JSON object per line: the texts \"prompt\" and \"response\", or \"messages\", the last of which is the response.");

    /// <summary>The most tokens of an example.</summary>
    public static Option<int> Length() => CommandLine.WholeNumber(
        "--length", 1024, 2, "The most tokens of an example; what is beyond is cut off, and counted.");

    /// <summary>The weights' dtype.</summary>
    public static Option<string> Type() => CommandLine.OneOf(
        "--type", OwnType, "Dtype of the weights.", OwnType, "float32", "bfloat16");

    /// <summary>The dtype of a name; null for the checkpoint's own.</summary>
    public static ScalarType? TypeOf(string name) => name switch
    {
        "float32" => ScalarType.Float32,
        "bfloat16" => ScalarType.BFloat16,
        _ => null,
    };

    /// <summary>A number that need not be given.</summary>
    public static Option<double?> OptionalNumber(string name, Func<double, bool> valid, string wanted, string description) => new(name)
    {
        HelpName = "number",
        Description = description,
        CustomParser = result =>
            double.TryParse(CommandLine.Text(result), NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && valid(value)
                ? value
                : CommandLine.Reject<double?>(result, wanted, null),
    };

    /// <summary>A whole number above 0 that need not be given.</summary>
    public static Option<int?> OptionalWholeNumber(string name, string description) => new(name)
    {
        HelpName = "number",
        Description = description,
        CustomParser = result =>
            int.TryParse(CommandLine.Text(result), NumberStyles.Integer, CultureInfo.InvariantCulture, out int value) && value >= 1
                ? value
                : CommandLine.Reject<int?>(result, "a whole number, at least 1", null),
    };
}
