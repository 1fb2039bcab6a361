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
            Path.Combine(directory, $"reference-{identity.Model[..8]}-{identity.DataSet[..8]}"),
            identity,
            examples.Count,
            model.Shape.Width,
            number => model.Hidden(tensor(tokens[number]).unsqueeze(0)).squeeze(0));
        for (int number = 0; number < examples.Count; number++)
        {
            numbers[examples[number]] = number; // equal examples have equal states
        }
    }

    public Linear Head { get; }

    public Tensor Hidden(Batch batch) =>
        cache.ReadBatch([.. batch.Examples.Select(example => numbers[example])], batch.Tokens.size(1));

    public void Dispose() => cache.Dispose();
}
