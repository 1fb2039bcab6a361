using Asft.Kernels.Cpu.Simd;
using static Asft.Kernels.ScalarElement;

namespace Asft.Kernels.Cpu;

/// <content>Blocks of a row: where they lie, copies of them, their maxima and their exponentials.</content>
internal sealed unsafe partial class OnlineSoftmax<TV, T, TElement, TDivergence, TGradient, TSmoothing, TSoftcap, TEntropy>
{
    private Block BlockAt(int block)
    {
        long start = (long)block * s_block;
        int count = (int)Math.Min(s_block, _problem.Vocabulary - start);
        int padded = (count + (2 * TV.Count) - 1) / (2 * TV.Count) * (2 * TV.Count);
        return new Block(start, count, padded, _direct && padded == count);
    }

    /// <summary>Where a block is measured from: its maxima, or nearby.</summary>
    private Measure<T> MeasureFrom(in BlockMaxima maxima)
    {
        bool far = IsFar(maxima.Policy) || IsFar(maxima.Reference) || IsFar(maxima.Center);
        double reference = maxima.Reference;
        if (TDivergence.HasCenter && !far)
        {
            // Exponentials have room above their point, so mostly the reference's can have the divergence's.
            far = Math.Abs(maxima.Center - maxima.Reference) * ToDouble(_multiplier) > LargestRise;
            reference = far ? maxima.Reference : maxima.Center;
        }

        var points = new BlockPoints<T>(_multiplier, PointOf(maxima.Policy + maxima.Shift, far), PointOf(reference, far), PointOf(maxima.Center, far));
        return new Measure<T>
        {
            Points = points,
            Far = far,
            Scale = new BlockScale
            {
                Policy = OriginOf(points.Policy, far),
                Reference = OriginOf(points.Reference, far),
                Center = OriginOf(points.Center, far),
                Distance = 1,
            },
        };
    }

    /// <summary>Takes a block's exponentials, into <paramref name="p"/> and the reference's place if they are kept.</summary>
    private void Exponentials<TKeep>(byte* x, byte* r, Block at, T* p, in Measure<T> measure, in RowBuffers<T> buffers, out BlockSums<T> sums)
        where TKeep : struct, ISwitch
    {
        T* q = _remakes || !TGradient.On ? buffers.Q : buffers.Q + at.Start;
        T* extra = buffers.Extra + (TGradient.On ? at.Start : 0);
        long next = at.Start + s_block;
        int policySize = _problem.Logits.Type.SizeInBytes();
        int referenceSize = _problem.Reference.Type.SizeInBytes();
        Prefetch ahead = new(x + (next * policySize), policySize, r + (next * referenceSize), referenceSize);
        if (at.Direct)
        {
            Exponentials<TElement, TKeep>(PolicyAt(x, at), ReferenceAt(r, at), p, q, extra, at.Padded, measure.Points, measure.Far, ahead, out sums);
        }
        else
        {
            Exponentials<Native<TV, T>, TKeep>(
                buffers.Policy, buffers.Reference, p, q, extra, at.Padded, measure.Points, measure.Far, ahead, out sums);
        }
    }

    private static void Exponentials<TStored, TKeep>(
        void* x, void* r, T* p, T* q, T* extra, int count, in BlockPoints<T> points, bool far, Prefetch ahead, out BlockSums<T> sums)
        where TStored : struct, IElement<TV>
        where TKeep : struct, ISwitch
    {
        if (far)
        {
            BlockLoops<TV, T>.Exponentials<TStored, TDivergence, TKeep, TSmoothing, TSoftcap, TEntropy, On>(x, r, p, q, extra, count, points, ahead, out sums);
        }
        else
        {
            BlockLoops<TV, T>.Exponentials<TStored, TDivergence, TKeep, TSmoothing, TSoftcap, TEntropy, Off>(x, r, p, q, extra, count, points, ahead, out sums);
        }
    }

    private T PointOf(double y, bool far) => FromDouble<T>(far ? y : -(y * ToDouble(_multiplier)));

    /// <summary>The y that a point stands for, to the last bit.</summary>
    private double OriginOf(T point, bool far) => far ? ToDouble(point) : -ToDouble(point) / ToDouble(_multiplier);

    /// <summary>
    /// Whether what is measured from y has to be measured first, and multiplied then. Where the points have many digits before the binary
    /// point, a product with m has too few behind it, and everywhere where the product is rounded on its own. A double has digits enough, but
    /// its sums are promised to be exact to more than a product's rounding.
    /// </summary>
    private bool IsFar(double y) =>
        typeof(T) == typeof(double) || !SimdMath<TV, T>.FusesMultiplyAdd || Math.Abs(y * ToDouble(_multiplier)) > Far;

    private static (T Policy, T Reference) Maxima<TStored>(void* x, void* r, int count)
        where TStored : struct, IElement<TV> =>
        (BlockLoops<TV, T>.Max<TStored>(x, count), TDivergence.Reads ? BlockLoops<TV, T>.Max<TStored>(r, count) : default);

    /// <summary>Converts and transforms a block of both rows into scratch, and finds its maxima.</summary>
    private (T Policy, T Reference) StagedMaxima(byte* x, byte* r, Block at, in RowBuffers<T> buffers)
    {
        Stage(x, _problem.Logits.Type, at, buffers.Policy, TGradient.On && TSoftcap.On ? buffers.Extra + at.Start : null);
        if (TDivergence.Reads)
        {
            Stage(r, _problem.Reference.Type, at, buffers.Reference, null);
        }

        return Maxima<Native<TV, T>>(buffers.Policy, buffers.Reference, at.Padded);
    }

    /// <summary>The block's y in the type of the arithmetic, padded with -inf.</summary>
    private void Stage(byte* row, ElementType type, Block at, T* staged, T* slope)
    {
        BlockConversion.Widen(row + (at.Start * type.SizeInBytes()), type, staged, at.Count);
        if (TSoftcap.On)
        {
            new Span<T>(staged + at.Count, at.Padded - at.Count).Clear();
            BlockLoops<TV, T>.Softcap(staged, slope, at.Padded, FromDouble<T>(_problem.Objective.LogitScale / _factor));
        }

        new Span<T>(staged + at.Count, at.Padded - at.Count).Fill(FromDouble<T>(double.NegativeInfinity));
    }

    /// <summary>Where a block's policy exponentials are kept between the passes.</summary>
    private T* KeptPolicy(byte* gradient, Block at, in RowBuffers<T> buffers) =>
        _remakes || !TGradient.On ? buffers.P
        : !_keepInGradient ? buffers.P + at.Start
        : at.Padded == at.Count ? (T*)gradient + at.Start
        : buffers.P;

    private byte* PolicyAt(byte* x, Block at) => x + (at.Start * _problem.Logits.Type.SizeInBytes());

    private byte* ReferenceAt(byte* r, Block at) => r + (at.Start * _problem.Reference.Type.SizeInBytes());

    private double PolicyY(byte* x, Block at, long index, in RowBuffers<T> buffers) =>
        at.Direct ? ScalarElement.Read(x, _problem.Logits.Type, index) : ToDouble(buffers.Policy[index - at.Start]);

    private double ReferenceY(byte* r, Block at, long index, in RowBuffers<T> buffers) =>
        at.Direct ? ScalarElement.Read(r, _problem.Reference.Type, index) : ToDouble(buffers.Reference[index - at.Start]);
}
