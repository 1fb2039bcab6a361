using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// What a <see cref="ReferenceCache"/> keeps of the reference at each token: one of the forms that a <see cref="TokenReference"/> has. Every
/// form serves either loss but hidden states, which are for the linear one.
/// </summary>
public abstract record ReferenceCacheForm
{
    private const long MaxSize = int.MaxValue;

    private protected ReferenceCacheForm()
    {
    }

    /// <summary>
    /// Log-probabilities of the labels, <see cref="TokenReference.LabelLogProbabilities"/>: 4 bytes a token, as they are always kept in float32.
    /// </summary>
    public static ReferenceCacheForm LabelLogProbabilities { get; } = new LabelForm();

    /// <summary>The name that an index has for it.</summary>
    internal abstract string Name { get; }

    /// <summary>Numbers in each of its tensors at a token.</summary>
    internal abstract long Size { get; }

    /// <summary>
    /// Hidden states, <see cref="TokenReference.Hidden(Tensor, Tensor, Tensor)"/>: 2 d bytes a token in bfloat16, 4 d in float32. The only form
    /// that the divergence over the whole vocabulary can be computed from.
    /// </summary>
    /// <param name="size">Size d of a hidden state, above 0 and below 2^31.</param>
    /// <returns>The form.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The size is out of range.</exception>
    public static ReferenceCacheForm Hidden(long size) => size is >= 1 and <= MaxSize
        ? new HiddenForm(size)
        : throw OutOfRange.Of(nameof(size), size, Invariant($"in [1, {MaxSize}]"));

    /// <summary>
    /// The K most likely entries, <see cref="TokenReference.TopK"/>: 6 K bytes a token with log-probabilities in bfloat16, 8 K in float32; their
    /// indices are int32.
    /// </summary>
    /// <param name="k">Entries K of a token, above 0.</param>
    /// <returns>The form.</returns>
    /// <exception cref="ArgumentOutOfRangeException">It is not above 0.</exception>
    public static ReferenceCacheForm TopK(int k) => k >= 1 ? new TopKForm(k) : throw OutOfRange.Of(nameof(k), k, "above 0");

    /// <summary>The form by its name and size in an index; null if there is no such form.</summary>
    internal static ReferenceCacheForm? Find(string? name, long size)
    {
        ReferenceCacheForm[] forms = size is >= 1 and <= MaxSize ? [Hidden(size), LabelLogProbabilities, TopK((int)size)] : [];
        return Array.Find(forms, form => form.Name == name && form.Size == size);
    }

    /// <summary>Which form a reference has, in words.</summary>
    internal static string Describe(TokenReference reference) => reference switch
    {
        LabelReference => "label log-probabilities",
        EntriesReference => "top-k entries",
        LogitsReference => "logits",
        HiddenReference { Weight: not null } => "hidden states with a head, which no cache keeps: give it with what is read",
        TensorReference => "a tensor, which a cache takes for hidden states",
        _ => "hidden states",
    };

    /// <summary>The dtype of its floating-point numbers where a dtype is asked for.</summary>
    internal virtual ScalarType TypeOf(ScalarType asked) => asked;

    /// <summary>Its tensors.</summary>
    /// <param name="type">Dtype of its floating-point numbers.</param>
    internal abstract CachePart[] Parts(ScalarType type);

    /// <summary>Whether a reference is of this form: then its tensors are those of <see cref="Parts"/>.</summary>
    internal abstract bool Matches(TokenReference reference);

    /// <summary>A reference of tensors.</summary>
    internal abstract TokenReference Combine(Tensor[] parts);

    /// <summary>Hidden states.</summary>
    private sealed record HiddenForm(long Width) : ReferenceCacheForm
    {
        internal override string Name => "hidden";

        internal override long Size => Width;

        public override string ToString() => Invariant($"hidden states [T, {Width}]");

        internal override CachePart[] Parts(ScalarType type) => [new("hidden", type, [Width], () => zeros([], type, CPU))];

        internal override bool Matches(TokenReference reference) => reference is TensorReference or HiddenReference { Weight: null };

        internal override TokenReference Combine(Tensor[] parts) => TokenReference.Hidden(parts[0]);
    }

    /// <summary>Log-probabilities of the labels.</summary>
    private sealed record LabelForm : ReferenceCacheForm
    {
        internal override string Name => "labelLogProbabilities";

        internal override long Size => 1;

        public override string ToString() => "label log-probabilities [T]";

        internal override ScalarType TypeOf(ScalarType asked) => ScalarType.Float32;

        internal override CachePart[] Parts(ScalarType type) => [new("logProbabilities", type, [], () => zeros([], type, CPU))];

        internal override bool Matches(TokenReference reference) => reference is LabelReference;

        internal override TokenReference Combine(Tensor[] parts) => TokenReference.LabelLogProbabilities(parts[0]);
    }

    /// <summary>The most likely entries.</summary>
    private sealed record TopKForm(int K) : ReferenceCacheForm
    {
        internal override string Name => "topK";

        internal override long Size => K;

        public override string ToString() => Invariant($"top-{K} entries [T, {K}]");

        // Padding is a reference too: K entries that differ, with a probability of 1/2 together, whichever way their logarithm is rounded.
        internal override CachePart[] Parts(ScalarType type) =>
        [
            new("indices", ScalarType.Int32, [K], () => arange(K, ScalarType.Int32, CPU)),
            new("logProbabilities", type, [K], () => full([], -Math.Log(2.0 * K), type, CPU)),
        ];

        internal override bool Matches(TokenReference reference) => reference is EntriesReference;

        internal override TokenReference Combine(Tensor[] parts) => TokenReference.TopK(parts[0], parts[1]);
    }
}
