using System.Numerics;

namespace Asft.Kernels.Ilgpu.OnDevice;

/// <summary>
/// What the device code needs of float32 or float64 beyond operators. The functions are built from additions, multiplications and
/// moves of bits alone: what a device or its driver calls exp or tanh differs in accuracy from one to the next (NVIDIA's fast
/// instructions lose 14 bits of a tanh), and the promises of the engine must not.
/// </summary>
/// <typeparam name="T">The type of the arithmetic.</typeparam>
internal interface IRealMath<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>The lowest finite number: where a maximum starts.</summary>
    static abstract T Lowest { get; }

    static abstract T NegativeInfinity { get; }

    /// <summary><see cref="RowUnits.PerY"/>.</summary>
    static abstract T PerY { get; }

    /// <summary>What splits a number in two of half its digits (Dekker).</summary>
    static abstract T Splitter { get; }

    static abstract T FromCount(long count);

    /// <summary><c>e^x</c> for x up to 40; 0 where that is no normal number.</summary>
    static abstract T Exp(T x);

    static abstract T Tanh(T x);

    /// <summary>The largest of what the threads of a group have; a collective call. No thread may have NaN.</summary>
    static abstract T GroupMax(T value);
}
