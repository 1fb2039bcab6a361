using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>How a <see cref="ReferenceCache"/> is written.</summary>
public sealed record ReferenceCacheOptions
{
    /// <summary>
    /// Dtype that hidden states and the log-probabilities of most likely entries are stored in: bfloat16, the default, or float32. Rounding
    /// them to bfloat16 moves the KL by about as much as running the reference in bfloat16 would. Log-probabilities of labels are stored in
    /// float32 whatever this is.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">It is neither.</exception>
    public ScalarType StorageType
    {
        get;
        init => field = value is ScalarType.BFloat16 or ScalarType.Float32
            ? value
            : throw OutOfRange.Of(nameof(StorageType), value, "BFloat16 or Float32");
    } = ScalarType.BFloat16;

    /// <summary>
    /// A file is written when the examples waiting for it have this many bytes, above 0; default 64 MiB. It is what an
    /// interrupted run may lose, and what the writer holds in memory. A file has at most 10,000 examples, however small.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">It is not above 0.</exception>
    public long ShardBytes
    {
        get;
        init => field = value > 0 ? value : throw OutOfRange.Of(nameof(ShardBytes), value, "above 0");
    } = 64 << 20;
}
