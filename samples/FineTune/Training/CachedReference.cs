using System.Text.Json;
using Asft.Interop;
using FineTune.Model;
using FineTune.Problems;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Training;

/// <summary>
/// The reference's hidden states over the demonstrations, written once and read back: training runs no reference model.
/// </summary>
internal sealed class CachedReference : IReferenceStates, IDisposable
{
    private readonly ReferenceCache cache;
    private readonly Dictionary<Example, long> numbers = [];

    /// <param name="directory">Where caches are kept; this one gets a directory of its own, named after what it is made from.</param>
    /// <param name="model">The reference.</param>
    /// <param name="examples">Everything that a batch may be made of.</param>
    public CachedReference(string directory, LanguageModel model, IReadOnlyList<Example> examples)
    {
        Head = model.Head;
        long[][] tokens = [.. examples.Select(Batch.Encode)];
        var identity = new ReferenceCacheIdentity(Fingerprint.Of(model), Fingerprint.Of(model.Head.weight), Fingerprint.Of(tokens));
        cache = ReferenceCache.OpenOrCreate(
            Path.Combine(directory, Name(identity.Model[..8], identity.DataSet)),
            identity,
            examples.Count,
            ReferenceCacheForm.Hidden(model.Shape.Width),
            number => model.Hidden(tensor(tokens[number]).unsqueeze(0)).squeeze(0));
        for (int number = 0; number < examples.Count; number++)
        {
            numbers[examples[number]] = number; // equal examples have equal states
        }
    }

    public Linear Head { get; }

    /// <summary>
    /// Finds damage in what earlier runs left, before there is a reference: which of its caches a run needs is known only then,
    /// after minutes of pretraining.
    /// </summary>
    /// <param name="directory">Where caches are kept.</param>
    /// <param name="width">Size of the reference's hidden states.</param>
    /// <param name="examples">Everything that a batch may be made of.</param>
    /// <exception cref="InvalidDataException">A cache of these examples is damaged; the message says which.</exception>
    public static void CheckExisting(string directory, int width, IReadOnlyList<Example> examples)
    {
        foreach (string path in Directory.EnumerateDirectories(directory, Name("*", Fingerprint.Of(examples.Select(Batch.Encode)))))
        {
            if (ReadIdentity(Path.Combine(path, "index.json")) is { } identity && IsComplete(path, identity, width, examples.Count))
            {
                using var cache = ReferenceCache.Open(path, identity);
                for (long example = 0; example < cache.Count; example++)
                {
                    _ = cache.Tokens(example); // checks the file that the example is in
                }
            }
        }
    }

    public Tensor Hidden(Batch batch) =>
        cache.ReadBatch([.. batch.Examples.Select(example => numbers[example])], batch.Tokens.size(1)).Tensors[0];

    public void Dispose() => cache.Dispose();

    private static string Name(string model, string dataSet) => $"reference-{model}-{dataSet[..8]}";

    /// <summary>What a cache was made from; null where none was begun.</summary>
    private static ReferenceCacheIdentity? ReadIdentity(string index)
    {
        if (!File.Exists(index))
        {
            return null;
        }

        try
        {
            using var json = JsonDocument.Parse(File.ReadAllBytes(index));
            string Text(string name) => json.RootElement.GetProperty(name).GetString() ?? throw new JsonException();
            return new ReferenceCacheIdentity(Text("model"), Text("head"), Text("dataSet"));
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw new InvalidDataException($"'{index}' is damaged: delete the reference cache in this directory.", error);
        }
    }

    /// <summary>False for a cache whose writing was interrupted, and will be continued.</summary>
    private static bool IsComplete(string path, ReferenceCacheIdentity identity, int width, int examples)
    {
        using var writer = new ReferenceCacheWriter(path, identity, examples, ReferenceCacheForm.Hidden(width));
        return writer.NextExample == writer.Examples;
    }
}
