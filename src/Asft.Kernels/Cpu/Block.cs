using Asft.Kernels.Cpu.Simd;

namespace Asft.Kernels.Cpu;

/// <summary>
/// A stretch of a row: where it starts, how many logits it has, how many with padding to whole pairs of registers, and whether the loops
/// can read it where it is.
/// </summary>
internal readonly record struct Block(long Start, int Count, int Padded, bool Direct);

/// <summary>The largest y so far, and what follows from them for the points.</summary>
internal struct BlockMaxima
{
    public double Policy;
    public double Reference;

    /// <summary>Reverse: what the reference's y are measured from in the divergence.</summary>
    public double Center;

    /// <summary>The mean of yr - y where the divergence has its mass; NaN: not known.</summary>
    public double Difference;

    /// <summary>Forward: how far from its maximum the policy is measured.</summary>
    public double Shift;
}

/// <summary>What blocks are measured from, while their maxima stay the same.</summary>
internal struct Measure<T>
{
    public BlockPoints<T> Points;

    /// <summary>Whether logits are subtracted before they are multiplied.</summary>
    public bool Far;

    /// <summary>The y that the points stand for.</summary>
    public BlockScale Scale;
}

/// <summary>What a block's kept numbers are measured in.</summary>
internal struct BlockScale
{
    /// <summary>The y that the policy's exponentials are measured from.</summary>
    public double Policy;

    /// <summary>The y that the reference's exponentials are measured from.</summary>
    public double Reference;

    /// <summary>Reverse: the y of the reference that differences are measured from.</summary>
    public double Center;

    /// <summary>Reverse: kept differences are so many times as large; 1 unless they would not fit.</summary>
    public double Distance;
}

/// <summary>What is read of a row's logits before the first pass, in place, overwrites them.</summary>
/// <param name="Slope">That of a softcap at the label.</param>
/// <param name="Entries">How many entries of a top-k reference lie in the shard.</param>
internal readonly record struct KeptRow(double Slope, int Entries);

/// <summary>The memory that a row is worked on in: a thread's, and the row's own.</summary>
internal unsafe struct RowBuffers<T>
    where T : unmanaged
{
    /// <summary>One block of policy logits, converted and transformed.</summary>
    public T* Policy;

    /// <summary>One block of reference logits, converted and transformed.</summary>
    public T* Reference;

    /// <summary>The row's: for each block, what its kept exponentials and differences are measured in.</summary>
    public BlockScale* Scales;

    /// <summary>The row's between a summary and its gradient.</summary>
    public KeptRow* Kept;

    /// <summary>Policy exponentials: of the row, or of one block where the gradient's row keeps the others.</summary>
    public T* P;

    /// <summary>Reference exponentials, or differences of logits, of the row.</summary>
    public T* Q;

    /// <summary>Slopes of a softcap, or marks of unmasked logits, of the row.</summary>
    public T* Extra;

    /// <summary>The row's entries of a top-k reference.</summary>
    public TopKEntry* Entries;

    /// <summary>Exponentials of such entries while a sum leaves them out.</summary>
    public T* Aside;
}

/// <summary>
/// Sums over one block of a row. Exponentials are times 2^<see cref="SimdMath{TV, T}.Headroom"/>; <see cref="Cross"/> and
/// <see cref="Distance"/> are sums of arguments, in base 2.
/// </summary>
internal struct BlockSums<T>
{
    public T Policy;
    public T Reference;
    public T Cross;
    public T Distance;
    public T Unmasked;
    public T Entropy;
    public T Squares;
}

/// <summary>
/// Where the arguments of a block's exponentials are measured from: <c>m*y + point</c> or, far from zero, where a product with m has no
/// digits left for what is behind the point, <c>m*(y - point)</c>.
/// </summary>
/// <param name="Multiplier">m = factor*log2 e.</param>
/// <param name="Policy">The policy's point.</param>
/// <param name="Reference">The reference's.</param>
/// <param name="Center">
/// Reverse: the point of the reference's logits in the divergence, about where the policy has its mass, so that the differences that
/// weigh most are small and keep their digits. Far from zero alone; near it, this is the reference's point itself.
/// </param>
internal readonly record struct BlockPoints<T>(T Multiplier, T Policy, T Reference, T Center);
