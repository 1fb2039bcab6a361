using System.Numerics;
using Asft.Kernels.Divergence;

namespace Asft.Kernels.Ilgpu.OnDevice;

/// <summary>
/// The part of a <see cref="DeviceRowState{T}"/> that one thread has seen: the online softmax with the cross term of the KL divergence. It
/// takes the logits by the tile, so that maxima move, and sums are rescaled and compensated, once for many logits.
/// </summary>
internal struct ThreadRowState<T, TMath, TDivergence>
    where T : unmanaged, INumber<T>
    where TMath : struct, IRealMath<T>
    where TDivergence : struct, IDivergence
{
    public T Max;
    public T ReferenceMax;

    /// <summary>Reverse: the reference's y that differences are measured from; see <see cref="DeviceRowState{T}.Center"/>.</summary>
    public T Center;
    public CompensatedSum<T> Sum;
    public CompensatedSum<T> ReferenceSum;
    public CompensatedSum<T> Cross;
    public CompensatedSum<T> Distance;
    public CompensatedSum<T> Entropy;
    public CompensatedSum<T> Squares;
    public long Unmasked;

    /// <summary>The same part, measured from other maxima. An empty sum stays 0, however far they move.</summary>
    /// <param name="max">The new maximum of the policy.</param>
    /// <param name="referenceMax">The new maximum of the reference.</param>
    /// <param name="factor">z = factor*y.</param>
    /// <param name="smoothing">Whether distances are summed.</param>
    /// <param name="entropy">Whether the terms of an entropy are summed.</param>
    public void MoveTo(T max, T referenceMax, T factor, bool smoothing, bool entropy)
    {
        T rise = max - Max;
        T referenceRise = TDivergence.Reads ? referenceMax - ReferenceMax : T.Zero;
        if (rise != T.Zero || referenceRise != T.Zero)
        {
            CompensatedSum<T> weight = TDivergence.Weighing(Sum, ReferenceSum);
            if (TDivergence.IsSummed && weight.Value > T.Zero)
            {
                T measuredRise = TDivergence.HasCenter ? T.Zero : referenceRise;
                Cross.Add(weight, TDivergence.Weighing(measuredRise, rise) - TDivergence.Weighing(rise, measuredRise), TMath.Splitter);
            }

            if (smoothing && Unmasked > 0)
            {
                Distance.Add(-(TMath.FromCount(Unmasked) * rise));
            }

            T scale = TMath.Exp(-(factor * rise));
            if (entropy && Sum.Value > T.Zero)
            {
                if (scale > T.Zero)
                {
                    Entropy.Add(Sum, -rise, TMath.Splitter);
                    Entropy.MultiplyBy(scale);
                    Squares.MultiplyBy(scale * scale);
                }
                else
                {
                    Entropy.Clear();
                    Squares.Clear();
                }
            }

            Sum.MultiplyBy(scale);
            T referenceScale = TDivergence.Reads ? TMath.Exp(-(factor * referenceRise)) : T.One;
            ReferenceSum.MultiplyBy(referenceScale);
            T crossScale = TDivergence.Weighing(scale, referenceScale);
            if (crossScale > T.Zero)
            {
                Cross.MultiplyBy(crossScale);
            }
            else
            {
                Cross.Clear(); // an infinite term of a weight that has become 0
            }

            Max = max;
            ReferenceMax = referenceMax;
        }
    }
}
