using System.Numerics;

namespace Asft.Kernels.Ilgpu.OnDevice;

/// <summary>
/// What one thread has seen of its row: the online softmax with the cross term of the KL divergence. It takes the logits by the
/// tile, so that maxima move, and sums are rescaled and compensated, once for many logits.
/// </summary>
internal struct RowPart<T, TMath, TReference>
    where T : unmanaged, INumber<T>
    where TMath : struct, IRealMath<T>
    where TReference : struct, IReferenceUse
{
    public T Max;
    public T ReferenceMax;

    /// <summary>Reverse: the reference's y that differences are measured from; see <see cref="RowSums{T}.Center"/>.</summary>
    public T Center;
    public CompensatedSum<T> Sum;
    public CompensatedSum<T> ReferenceSum;
    public CompensatedSum<T> Cross;
    public CompensatedSum<T> Distance;
    public long Unmasked;

    /// <summary>The same part, measured from other maxima. An empty sum stays 0, however far they move.</summary>
    /// <param name="max">The new maximum of the policy.</param>
    /// <param name="referenceMax">The new maximum of the reference.</param>
    /// <param name="center">The new center.</param>
    /// <param name="factor">z = factor*y.</param>
    /// <param name="smoothing">Whether distances are summed.</param>
    public void MoveTo(T max, T referenceMax, T center, T factor, bool smoothing)
    {
        T rise = max - Max;
        T referenceRise = TReference.Reads ? referenceMax - ReferenceMax : T.Zero;
        T centerRise = TReference.Reverse ? center - Center : T.Zero;
        if (rise != T.Zero || referenceRise != T.Zero || centerRise != T.Zero)
        {
            // The difference of the distances, (yr - max yr) - (y - max y), of everything in the cross term changes by this much.
            T shift = rise - (TReference.Reverse ? centerRise : referenceRise);
            if (TReference.Forward && ReferenceSum.Value > T.Zero)
            {
                Cross.Add(ReferenceSum, shift, TMath.Splitter);
            }

            if (TReference.Reverse && Sum.Value > T.Zero)
            {
                Cross.Add(Sum, -shift, TMath.Splitter);
            }

            if (smoothing && Unmasked > 0)
            {
                Distance.Add(-(TMath.FromCount(Unmasked) * rise));
            }

            T scale = TMath.Exp(-(factor * rise));
            Sum.MultiplyBy(scale);
            T referenceScale = TReference.Reads ? TMath.Exp(-(factor * referenceRise)) : T.One;
            ReferenceSum.MultiplyBy(referenceScale);
            T crossScale = TReference.Forward ? referenceScale : scale;
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
            Center = center;
        }
    }
}
