namespace Asft.Kernels.Cpu.Simd;

/// <summary>
/// A SIMD register of <typeparamref name="T"/> (float or double), so that each loop is written once and compiled for 128, 256 and
/// 512 bits. Every member is one or two instructions.
/// </summary>
internal unsafe interface ISimd<TSelf, T>
    where TSelf : struct, ISimd<TSelf, T>
    where T : unmanaged
{
    static abstract int Count { get; }

    static abstract TSelf Create(T value);

    static abstract TSelf Load(T* source);

    static abstract void Store(TSelf value, T* destination);

    /// <summary>
    /// Reads bfloat16, the upper halves of floats, for two registers: the elements at even places and those at odd ones, which takes
    /// one instruction each, where reading them in order would take two. Of float registers only.
    /// </summary>
    static abstract (TSelf Even, TSelf Odd) LoadBFloat16(ushort* source);

    /// <summary>
    /// The reverse: rounds to bfloat16, to nearest with ties to even. Of float registers only. A NaN whose payload fills the low bits
    /// would not survive: rows that hold one are written apart.
    /// </summary>
    static abstract void StoreBFloat16(TSelf even, TSelf odd, ushort* destination);

    static abstract TSelf operator +(TSelf left, TSelf right);

    static abstract TSelf operator -(TSelf left, TSelf right);

    static abstract TSelf operator *(TSelf left, TSelf right);

    static abstract TSelf operator /(TSelf left, TSelf right);

    /// <summary>a*b + c, rounded once where the processor has FMA.</summary>
    static abstract TSelf MultiplyAdd(TSelf a, TSelf b, TSelf c);

    /// <summary>The larger of each pair; which of the two comes out when one is NaN is up to the processor.</summary>
    static abstract TSelf Max(TSelf left, TSelf right);

    /// <summary>The smaller of each pair; which of the two comes out when one is NaN is up to the processor.</summary>
    static abstract TSelf Min(TSelf left, TSelf right);

    static abstract TSelf Abs(TSelf value);

    /// <summary>0 where <c>left &lt; right</c>, else <paramref name="value"/>. A NaN does not compare, so its value stays.</summary>
    static abstract TSelf ZeroWhereLess(TSelf left, TSelf right, TSelf value);

    /// <summary><paramref name="value"/> where <c>left &gt; right</c>, else 0. A NaN does not compare, so its value goes.</summary>
    static abstract TSelf KeepWhereGreater(TSelf left, TSelf right, TSelf value);

    static abstract TSelf Select(TSelf left, TSelf lessThan, TSelf then, TSelf otherwise);

    /// <summary>A bit for each lane, the first the lowest: whether the two are equal.</summary>
    static abstract ulong EqualLanes(TSelf left, TSelf right);

    /// <summary>
    /// t = n + r with n an integer and |r| at most 1/2, in whatever form of n suits <see cref="TimesPowerOfTwo"/>. A t whose power is
    /// no normal number, -inf included, may give any finite r, and an n that makes everything 0 or subnormal.
    /// </summary>
    static abstract TSelf Split(TSelf t, out TSelf n);

    /// <summary>
    /// q * 2^(n + Headroom), where n comes from <see cref="Split"/>, or q * 2^n for a q that has the headroom already; see
    /// <see cref="SimdMath{TV, T}.Headroom"/>. A NaN stays a NaN, whatever its payload.
    /// </summary>
    static abstract TSelf TimesPowerOfTwo(TSelf q, TSelf n);

    /// <summary>Sum of the lanes.</summary>
    static abstract T Sum(TSelf value);

    /// <summary>Largest lane.</summary>
    static abstract T MaxLane(TSelf value);

    /// <summary>Smallest lane.</summary>
    static abstract T MinLane(TSelf value);
}
