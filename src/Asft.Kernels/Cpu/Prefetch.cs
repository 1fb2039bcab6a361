using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Asft.Kernels.Cpu;

/// <summary>
/// Asks for the logits that the next block will read while this block computes, so that arithmetic and memory overlap. Without it the
/// hardware prefetcher stops at each change between the loops. A prefetch of any address is harmless.
/// </summary>
internal readonly unsafe struct Prefetch
{
    /// <summary>Bytes of a cache line.</summary>
    public const int Line = 64;

    private readonly byte* _policy;
    private readonly byte* _reference;
    private readonly nint _policySize;
    private readonly nint _referenceSize;

    /// <param name="policy">Policy logits that will be read next.</param>
    /// <param name="policySize">Bytes that each element of the current block stands for there.</param>
    /// <param name="reference">Reference logits that will be read next.</param>
    /// <param name="referenceSize">Likewise.</param>
    public Prefetch(void* policy, int policySize, void* reference, int referenceSize)
    {
        _policy = (byte*)policy;
        _reference = (byte*)reference;
        _policySize = policySize;
        _referenceSize = referenceSize;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Policy(int i)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(_policy + (i * _policySize));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Reference(int i)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(_reference + (i * _referenceSize));
        }
    }

    /// <summary>Asks for a stretch of memory as a whole, into the second-level cache.</summary>
    public static void Stretch(void* start, long bytes)
    {
        if (Sse.IsSupported)
        {
            for (long i = 0; i < bytes; i += Line)
            {
                Sse.Prefetch1((byte*)start + i);
            }
        }
    }
}
