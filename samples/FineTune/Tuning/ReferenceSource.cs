using Asft.Interop;
using FineTune.Checkpoint;
using FineTune.Text;
using FineTune.Transformer;

namespace FineTune.Tuning;

/// <summary>Chooses the reference of a training, and opens it.</summary>
internal sealed class ReferenceSource : IDisposable
{
    private readonly IDisposable?[] owned;

    private ReferenceSource(IAnchor? anchor, params IDisposable?[] owned)
    {
        Anchor = anchor;
        this.owned = owned;
    }

    /// <summary>Null without a reference.</summary>
    public IAnchor? Anchor { get; }

    /// <summary>Which one it is, where it was not said.</summary>
    /// <exception cref="UserErrorException">What was asked for does not go together.</exception>
    public static string Choose(TrainOptions options)
    {
        string chosen = options.Reference
            ?? (options.Cache is not null ? References.Cached
                : options.ReferenceModel is not null ? References.Frozen
                : !options.Objective.NeedsReference ? References.None
                : options.Lora is not null ? References.AdaptersOff
                : References.Frozen);
        return (chosen, options) switch
        {
            (References.None, { Objective.NeedsReference: true }) =>
                throw new UserErrorException($"--mode {options.Mode} needs a reference: --reference none does not go with it."),
            (References.AdaptersOff, { Lora: null }) => throw new UserErrorException(
                "--reference adapters-off needs --lora-rank: without adapters, the model that it would be is the one that is trained."),
            (References.Cached, { Cache: null }) => throw new UserErrorException("--reference cached needs --cache, the directory of the cache."),
            (not References.Cached, { Cache: not null }) => throw new UserErrorException($"--cache does not go with --reference {chosen}."),
            (not References.Frozen, { ReferenceModel: not null }) =>
                throw new UserErrorException($"--reference-model does not go with --reference {chosen}."),
            _ => chosen,
        };
    }

    /// <summary>What a cache of this checkpoint and these examples was made from.</summary>
    /// <param name="checkpoint">The checkpoint's <see cref="CheckpointIdentity"/>.</param>
    /// <param name="examples">All examples, in order.</param>
    public static ReferenceCacheIdentity Identity(string checkpoint, IEnumerable<TokenizedExample> examples) => new(
        checkpoint, $"the head of {checkpoint}", Fingerprint.Of(examples.Select(example => Array.ConvertAll(example.Tokens, token => (long)token))));

    /// <summary>Opens it.</summary>
    /// <param name="options">What is asked for.</param>
    /// <param name="model">The model as it was before it was trained.</param>
    /// <param name="checkpoint">Its checkpoint's identity.</param>
    /// <param name="examples">All examples.</param>
    /// <param name="ranks">The processes, of which the first one reads.</param>
    public static ReferenceSource Open(TrainOptions options, Decoder model, string checkpoint, IReadOnlyList<TokenizedExample> examples, Ranks ranks)
    {
        switch (Choose(options))
        {
            case References.Frozen:
                Decoder reference = CheckpointReader.Load(options.ReferenceModel ?? options.Model, model.Type, readsWeights: ranks.IsFirst);
                ranks.Share(reference.Weights.Select(static entry => entry.Parameter));
                if (reference.Config.Vocabulary != model.Config.Vocabulary)
                {
                    using (reference)
                    {
                        throw new UserErrorException(
                            $"--reference-model has a vocabulary of {reference.Config.Vocabulary} tokens, and the model one of {model.Config.Vocabulary}.");
                    }
                }

                return new ReferenceSource(new FrozenAnchor(reference), reference);
            case References.AdaptersOff:
                return new ReferenceSource(new AdaptersOffAnchor(model));
            case References.Cached:
                var cache = ReferenceCache.Open(options.Cache!, Identity(checkpoint, examples));

                // A head that is trained moves away from the cached states' own.
                var head = options.Lora is null ? model.HeadWeight.detach().clone().DetachFromDisposeScope() : null;
                return new ReferenceSource(new CachedAnchor(cache, head), cache, head);
            default:
                return new ReferenceSource(null);
        }
    }

    public void Dispose() => Array.ForEach(owned, one => one?.Dispose());
}
