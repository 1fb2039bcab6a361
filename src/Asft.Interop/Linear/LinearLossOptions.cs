using Asft.Kernels;

namespace Asft.Interop;

/// <summary>
/// How <c>AsftFunctional.linear_asft_loss</c> goes about its work. Nothing here changes its results beyond rounding.
/// </summary>
public sealed record LinearLossOptions
{
    /// <summary>
    /// Bytes for the blocks of logits that are alive at a time, policy and reference together, above 0. As many rows are worked
    /// on at once as fit, at least one. Null, the default, is 64 MiB or an eighth of the size of the weight, whichever is more:
    /// the matrix products read the whole weight for every block, so that a larger head wants larger blocks, and is then the
    /// larger cost in memory by far. On bfloat16 units, there is room for 32 rows in any case. On a CUDA device, the default is
    /// 512 MiB or what 1,024 rows take, whichever is more, but at most a sixteenth of what was free at the first loss.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not above 0.</exception>
    public long? WorkspaceBytes
    {
        get;
        init => field = value is null or > 0
            ? value
            : throw OutOfRange.Of(nameof(WorkspaceBytes), value, "above 0");
    }
}
