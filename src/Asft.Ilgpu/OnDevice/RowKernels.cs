using System.Numerics;
using System.Runtime.CompilerServices;
using Asft.Kernels.Divergence;
using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Algorithms.ScanReduceOperations;

namespace Asft.Kernels.Ilgpu.OnDevice;

/// <summary>
/// The two programs that run on a device, one group of threads per row. <see cref="Sums"/> reads the logits once and leaves what
/// the loss is made of; <see cref="Gradient"/> reads them once more and writes over the policy's. Neither knows of labels: what
/// depends on a label is a handful of scalars, which the host has at hand.
/// </summary>
internal static class RowKernels<T, TMath, TStorage, TElement, TReferenceStorage, TReferenceElement, TDivergence, TSmoothing, TSoftcap, TEntropy>
    where T : unmanaged, INumber<T>
    where TMath : struct, IRealMath<T>
    where TStorage : unmanaged
    where TElement : struct, IElement<TStorage, T>
    where TReferenceStorage : unmanaged
    where TReferenceElement : struct, IElement<TReferenceStorage, T>
    where TDivergence : struct, IDivergence
    where TSmoothing : struct, ISwitch
    where TSoftcap : struct, ISwitch
    where TEntropy : struct, ISwitch
{
    /// <summary>Logits of a thread's tile. It reads them twice, the second time from a cache.</summary>
    private const int Tile = 16;

    /// <summary>Writes the <see cref="DeviceRowState{T}"/> of each row.</summary>
    /// <param name="policy">The policy's logits, row after row.</param>
    /// <param name="reference">The reference's; not read unless the mode says so.</param>
    /// <param name="sums">One element per row, that is per group.</param>
    /// <param name="vocabulary">V.</param>
    /// <param name="factor">z = factor*y: the scale s, or the softcap c, by the unit of y.</param>
    /// <param name="inner">s/c; used under a softcap alone.</param>
    public static void Sums(
        ArrayView<TStorage> policy,
        ArrayView<TReferenceStorage> reference,
        ArrayView<DeviceRowState<T>> sums,
        long vocabulary,
        T factor,
        T inner)
    {
        long row = Grid.IdxX;
        long first = row * vocabulary;
        long step = Group.DimX;
        ThreadRowState<T, TMath, TDivergence> part = default;
        part.Max = TMath.Lowest * TMath.PerY;
        part.ReferenceMax = TMath.Lowest * TMath.PerY;
        T largest = TMath.Lowest;
        T referenceLargest = TMath.Lowest;
        long predicted = Group.IdxX;
        long index = 0;
        if (TDivergence.HasCenter)
        {
            // The same points for all threads, which takes a look at the logits before: threads that measured from points of their own could not
            // be merged without losing digits, where one has seen of logits far apart only those that weigh little.
            for (long i = Group.IdxX; i < vocabulary; i += step)
            {
                Raise(ref largest, ref predicted, TElement.Load(policy[first + i]), i);
                T r = TReferenceElement.Load(reference[first + i]);
                referenceLargest = r > referenceLargest ? r : referenceLargest;
            }

            index = Place(largest, predicted);
            largest = TMath.GroupMax(largest);
            referenceLargest = TMath.GroupMax(referenceLargest);
            part.Center = CenterAt(reference, first + index, referenceLargest, inner);
        }

        for (long start = Group.IdxX; start < vocabulary; start += Tile * step)
        {
            long end = start + (Tile * step);
            end = end < vocabulary ? end : vocabulary;
            for (long i = start; i < end; i += step)
            {
                Raise(ref largest, ref predicted, TElement.Load(policy[first + i]), i);
                if (TDivergence.Reads)
                {
                    T r = TReferenceElement.Load(reference[first + i]);
                    referenceLargest = r > referenceLargest ? r : referenceLargest;
                }
            }

            part.MoveTo(
                Transform(largest, inner),
                TDivergence.Reads ? Transform(referenceLargest, inner) : part.ReferenceMax,
                factor,
                TSmoothing.On,
                TEntropy.On);
            AddTile(ref part, policy, reference, first, start, end, factor, inner);
        }

        // The maxima, the count and the index come out the same in whatever order a device combines them. Sums do not, so theirs
        // is fixed.
        T groupLargest = TMath.GroupMax(largest);
        T groupReferenceLargest = TDivergence.Reads ? TMath.GroupMax(referenceLargest) : TMath.Lowest;
        index = TDivergence.HasCenter ? index : Place(largest, predicted);
        long unmasked = TSmoothing.On ? GroupExtensions.AllReduce<long, AddInt64>(part.Unmasked) : 0;
        T max = Transform(groupLargest, inner);
        T referenceMax = TDivergence.Reads ? Transform(groupReferenceLargest, inner) : part.ReferenceMax;
        part.MoveTo(max, referenceMax, factor, TSmoothing.On, TEntropy.On);
        T sum = GroupSum(part.Sum.Value);
        T referenceSum = TDivergence.Reads ? GroupSum(part.ReferenceSum.Value) : T.Zero;
        T cross = TDivergence.IsSummed ? GroupSum(part.Cross.Value) : T.Zero;
        T distance = TSmoothing.On ? GroupSum(part.Distance.Value) : T.Zero;
        T entropy = TEntropy.On ? GroupSum(part.Entropy.Value) : T.Zero;
        T squares = TEntropy.On ? GroupSum(part.Squares.Value) : T.Zero;
        if (Group.IdxX == 0)
        {
            sums[row] = new DeviceRowState<T>
            {
                Max = max,
                Sum = sum,
                ReferenceMax = referenceMax,
                ReferenceSum = referenceSum,
                Center = part.Center,
                Cross = cross,
                Distance = distance,
                Entropy = entropy,
                Squares = squares,
                Unmasked = unmasked,
                Predicted = index,
            };
        }
    }

    /// <summary>Writes the gradient of each row over its policy logits, but for the label's own term.</summary>
    /// <param name="policy">The policy's logits, row after row; becomes the gradient.</param>
    /// <param name="reference">The reference's; not read unless the mode says so.</param>
    /// <param name="rows">One element per row, that is per group.</param>
    /// <param name="vocabulary">V.</param>
    /// <param name="factor">z = factor*y: the scale s, or the softcap c, by the unit of y.</param>
    /// <param name="inner">s/c; used under a softcap alone.</param>
    public static void Gradient(
        ArrayView<TStorage> policy,
        ArrayView<TReferenceStorage> reference,
        ArrayView<RowGradient<T>> rows,
        long vocabulary,
        T factor,
        T inner)
    {
        long first = Grid.IdxX * vocabulary;
        RowGradient<T> row = rows[Grid.IdxX];
        for (long i = Group.IdxX; i < vocabulary; i += Group.DimX)
        {
            T y = Transform(TElement.Load(policy[first + i]), inner);
            T distance = y - row.Max;
            T e = TMath.Exp((factor * distance) + row.Shift);
            T referenceE = T.Zero;
            T difference = T.Zero;
            if (TDivergence.IsSummed)
            {
                T referenceDistance = Transform(TReferenceElement.Load(reference[first + i]), inner) - row.ReferenceMax;
                referenceE = TDivergence.HasCenter ? T.Zero : TMath.Exp(factor * referenceDistance);
                difference = distance - referenceDistance;
            }

            T gradient = TDivergence.Gradient(e, referenceE, difference, row.Policy, row.Reference);
            if (TSmoothing.On && y > TMath.NegativeInfinity)
            {
                gradient -= row.Smoothing;
            }

            if (TSoftcap.On)
            {
                T tanh = y / TMath.PerY;
                gradient *= (T.One - tanh) * (T.One + tanh);
            }

            policy[first + i] = TElement.Store(gradient);
        }
    }

    /// <summary>Adds a tile to a part that is measured from maxima no smaller than the tile's.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddTile(
        ref ThreadRowState<T, TMath, TDivergence> part,
        ArrayView<TStorage> policy,
        ArrayView<TReferenceStorage> reference,
        long first,
        long start,
        long end,
        T factor,
        T inner)
    {
        T sum = T.Zero;
        T referenceSum = T.Zero;
        T cross = T.Zero;
        T distances = T.Zero;
        T entropy = T.Zero;
        T squares = T.Zero;
        for (long i = start; i < end; i += Group.DimX)
        {
            T y = Transform(TElement.Load(policy[first + i]), inner);
            T distance = y - part.Max;
            T e = TMath.Exp(factor * distance);
            sum += e;
            if (TEntropy.On && e > T.Zero)
            {
                entropy += e * distance;
                squares += e * e;
            }

            if (TSmoothing.On && y > TMath.NegativeInfinity)
            {
                distances += distance;
                part.Unmasked++;
            }

            if (TDivergence.Reads)
            {
                T yr = Transform(TReferenceElement.Load(reference[first + i]), inner);
                T referenceDistance = yr - part.ReferenceMax;
                T referenceE = TMath.Exp(factor * referenceDistance);
                referenceSum += referenceE;

                // An exponential of 0 takes no part, be its distance infinite: a logit that both models mask contributes nothing.
                T weight = TDivergence.Weighing(e, referenceE);
                if (TDivergence.IsSummed && weight != T.Zero)
                {
                    T measured = TDivergence.HasCenter ? yr - part.Center : referenceDistance;
                    cross += weight * (TDivergence.Weighing(distance, measured) - TDivergence.Weighing(measured, distance));
                }
            }
        }

        part.Sum.Add(sum);
        part.ReferenceSum.Add(referenceSum);
        part.Cross.Add(cross);
        part.Distance.Add(distances);
        part.Entropy.Add(entropy);
        part.Squares.Add(squares);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Raise(ref T largest, ref long place, T value, long i)
    {
        if (value > largest)
        {
            largest = value;
            place = i;
        }
    }

    /// <summary>Where the largest of what the threads of a group have is, the first of equals; a collective call.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static long Place(T largest, long place)
    {
        T groupLargest = TMath.GroupMax(largest);
        return GroupExtensions.AllReduce<long, MinInt64>(largest == groupLargest ? place : long.MaxValue);
    }

    /// <summary>The reference's y at a place in memory, or the largest of it where that is masked.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T CenterAt(ArrayView<TReferenceStorage> reference, long place, T largest, T inner)
    {
        T r = TReferenceElement.Load(reference[place]);
        return Transform(r > TMath.NegativeInfinity ? r : largest, inner);
    }

    /// <summary>y of a logit.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Transform(T x, T inner) => (TSoftcap.On ? TMath.Tanh(inner * x) : x) * TMath.PerY;

    /// <summary>
    /// The sum over the threads of a group, a power of two of them, in a fixed order: the same bits every time. (What
    /// ILGPU.Algorithms offers adds in the order in which the warps arrive, or in one that the OpenCL standard leaves open.)
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T GroupSum(T value)
    {
        ArrayView<T> shared = SharedMemory.Allocate<T>(RowProgram.MaxGroup);
        shared[Group.IdxX] = value;
        Group.Barrier();
        for (int half = Group.DimX / 2; half > 0; half /= 2)
        {
            if (Group.IdxX < half)
            {
                shared[Group.IdxX] += shared[Group.IdxX + half];
            }

            Group.Barrier();
        }

        return shared[0];
    }
}
