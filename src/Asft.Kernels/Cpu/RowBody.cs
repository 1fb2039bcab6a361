using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Asft.Kernels.Cpu.Simd;

namespace Asft.Kernels.Cpu;

/// <summary>
/// Works through rows, each in two passes over blocks that fit the first-level cache. The first reads the logits once, finds each
/// block's maximum, takes one exponential per logit, and merges the block into the row's state. The second, while what the first
/// kept is still in the second-level cache, turns it into the gradient.
/// </summary>
/// <remarks>
/// Where the gradient has the type of the arithmetic, the policy's exponentials are kept in the gradient's own row: in place, that
/// is the logits' row, so the only scratch is one row of the reference's exponentials.
/// <see cref="ITokenLossKernel.Backward"/> is the second pass alone, with the exponentials measured from the saved state.
/// </remarks>
internal sealed unsafe class RowBody<TV, T, TElement, TReference, TGradient, TSmoothing, TSoftcap> : IRowBody
    where TV : struct, ISimd<TV, T>
    where T : unmanaged
    where TElement : struct, IElement<TV>
    where TReference : struct, IReferenceUse
    where TGradient : struct, ISwitch
    where TSmoothing : struct, ISwitch
    where TSoftcap : struct, ISwitch
{
    private const int BlockBytes = 8192;

    private const double Log2E = 1.4426950408889634;

    /// <summary>Arguments of exponentials, in base 2, from which on a float has hardly a digit behind the binary point.</summary>
    private const double Far = 1 << 22;

    /// <summary>How far, in base 2, exponentials may rise above the point they are measured from and be summed over a block.</summary>
    private const double LargestRise = 32;

    /// <summary>How far, in base 2, a point moves away from a maximum: further, arguments near it lose digits.</summary>
    private const double LargestShift = 8;

    /// <summary>Logits of a first block that is worth a look ahead.</summary>
    private const int SmallestSampled = 512;

    /// <summary>Differences below this can be summed over a block, times exponentials with their headroom.</summary>
    private static readonly double s_largestSummed = Math.ScaleB(1, typeof(T) == typeof(float) ? 48 : 900);

    /// <summary>Kept differences stay below this, with room for the products they go into.</summary>
    private static readonly double s_largestKept = Math.ScaleB(1, typeof(T) == typeof(float) ? 100 : 1000);

    /// <summary>Logits of a block: as many as the cache suits or, with narrow registers, as can be added up without losing digits.</summary>
    private static readonly int s_block = Math.Min(BlockBytes / sizeof(T), 256 * TV.Count);

    private static readonly ElementType s_type = typeof(T) == typeof(float) ? ElementType.Float32 : ElementType.Float64;

    private readonly TokenProblem _problem;
    private readonly TokenOutputs _outputs;
    private readonly TokenGradient _gradient;
    private readonly bool _backward;
    private readonly bool _direct;
    private readonly bool _keepInGradient;
    private readonly bool _mayNeedCare;
    private readonly int _blocks;
    private readonly double _factor;
    private readonly T _multiplier;

    /// <summary>y of an argument in base 2.</summary>
    private readonly double _perArgument;

    private readonly ReferenceUse _use;

    public RowBody(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient, bool backward)
    {
        _problem = problem;
        _outputs = outputs;
        _gradient = gradient;
        _backward = backward;
        _factor = TokenResult.FactorOf(problem.Objective);
        _multiplier = FromDouble(_factor * Log2E);
        _perArgument = 1 / ToDouble(_multiplier);
        _use = TReference.Forward ? ReferenceUse.ForwardKl : TReference.Reverse ? ReferenceUse.ReverseKl
            : problem.Objective.Weighting == TokenWeighting.ImportanceRatio ? ReferenceUse.Sum
            : ReferenceUse.None;
        _direct = !TSoftcap.On && problem.Logits.Type == TElement.Type
            && (!TReference.Reads || problem.Reference.Type == TElement.Type);
        _keepInGradient = gradient.Logits.Type == s_type;
        _mayNeedCare = _keepInGradient && (TReference.Forward || TReference.Reverse || TSmoothing.On);
        _blocks = (int)((problem.Vocabulary + s_block - 1) / s_block);
    }

    public void Run(RowJob rows)
    {
        long padded = (long)_blocks * s_block;
        bool divergence = TReference.Forward || TReference.Reverse;
        long p = !TGradient.On || _keepInGradient || _backward ? s_block : padded;
        long q = !divergence ? 0 : !TGradient.On || _backward ? s_block : padded;
        long extra = !(TSmoothing.On || TSoftcap.On) ? 0 : !TGradient.On ? s_block : padded;
        RowScratch scratch = rows.Rent(
            (2 * RowScratch.SizeOf<T>(s_block)) + RowScratch.SizeOf<BlockScale>(_blocks)
            + RowScratch.SizeOf<T>(p) + RowScratch.SizeOf<T>(q) + RowScratch.SizeOf<T>(extra));
        try
        {
            Run(rows, new Buffers
            {
                Policy = scratch.Take<T>(s_block),
                Reference = scratch.Take<T>(s_block),
                Scales = scratch.Take<BlockScale>(_blocks),
                P = scratch.Take<T>(p),
                Q = scratch.Take<T>(q),
                Extra = scratch.Take<T>(extra),
            });
        }
        finally
        {
            scratch.Return();
        }
    }

    private void Run(RowJob rows, in Buffers buffers)
    {
        while (rows.TryTake(out long first, out long end))
        {
            PrefetchNextCounted(first, end);
            for (long row = first; row < end; row++)
            {
                if (_problem.Labels[row] == _problem.Objective.IgnoreIndex)
                {
                    Ignore(row);
                }
                else
                {
                    Count(row, end, buffers);
                }
            }
        }

        if (Sse.IsSupported)
        {
            Sse.StoreFence(); // zeroed rows went past the caches
        }
    }

    /// <summary>A row that counts.</summary>
    private void Count(long row, long end, in Buffers buffers)
    {
        byte* x = (byte*)_problem.Logits.Row(row);
        byte* r = TReference.Reads ? (byte*)_problem.Reference.Row(row) : null;
        byte* gradient = TGradient.On ? (byte*)_gradient.Logits.Row(row) : null;
        double slope = TSoftcap.On && TGradient.On // now: in place the label's logit is about to be overwritten
            ? TokenResult.SlopeOf(_problem.Objective, ScalarElement.Read(x, _problem.Logits.Type, _problem.Labels[row]))
            : 1;
        long predicted = 0;
        RowState state = _backward ? _outputs.State[row] : FirstPass(row, x, r, gradient, buffers, out predicted);
        var result = new TokenResult(_problem.Objective, state, _use, _problem.Vocabulary);
        if (!_backward)
        {
            _outputs.Write(s_type, row, state, result, predicted);
        }

        PrefetchNextCounted(row + 1, end);
        if (TGradient.On)
        {
            SecondPass(row, x, r, gradient, state, result.Gradient(ScaleOf(row), slope), buffers);
        }
    }

    /// <summary>
    /// Asks for the first block of the next row that counts. Within a row each block asks for the one after it; without this, every
    /// row would begin by waiting for memory.
    /// </summary>
    private void PrefetchNextCounted(long row, long end)
    {
        while (row < end && _problem.Labels[row] == _problem.Objective.IgnoreIndex)
        {
            row++;
        }

        if (row < end)
        {
            long logits = Math.Min(s_block, _problem.Vocabulary);
            Prefetch.Stretch(_problem.Logits.Row(row), logits * _problem.Logits.Type.SizeInBytes());
            if (TReference.Reads)
            {
                Prefetch.Stretch(_problem.Reference.Row(row), logits * _problem.Reference.Type.SizeInBytes());
            }
        }
    }

    /// <summary>Reads the row once: its state, its largest logit and, for a gradient, what the second pass makes it of.</summary>
    private RowState FirstPass(long row, byte* x, byte* r, byte* gradient, in Buffers buffers, out long predicted)
    {
        long label = _problem.Labels[row];
        KlDirection direction = TReference.Reverse ? KlDirection.Reverse : KlDirection.Forward;
        RowState state = default;
        BlockMaxima maxima = default;
        Measure measure = default;
        bool moved = false;
        double best = double.NegativeInfinity;
        predicted = 0;
        for (int block = 0; block < _blocks; block++)
        {
            Block at = BlockAt(block);
            if (TSoftcap.On && _outputs.Predicted != null)
            {
                FindLargest(x, at, ref best, ref predicted, buffers); // among the logits themselves, which a softcap may make equal
            }

            bool overwrites = at.Direct && _mayNeedCare && gradient == x;
            double lowest = 0;
            (T blockMax, T referenceBlockMax) = overwrites ? Ranges(PolicyAt(x, at), ReferenceAt(r, at), at.Padded, out lowest)
                : at.Direct ? Maxima<TElement>(PolicyAt(x, at), ReferenceAt(r, at), at.Padded)
                : StagedMaxima(x, r, at, buffers);
            bool rises = state.Sum == 0 || !(ToDouble(blockMax) <= maxima.Policy);
            bool referenceRises = state.ReferenceSum == 0 || !(ToDouble(referenceBlockMax) <= maxima.Reference);
            bool changes = rises || (TReference.Reads && referenceRises);
            maxima.Policy = rises ? OrZero(ToDouble(blockMax)) : maxima.Policy;
            maxima.Reference = referenceRises ? OrZero(ToDouble(referenceBlockMax)) : maxima.Reference;
            if (rises && (TReference.Reverse || (!TSoftcap.On && _outputs.Predicted != null && ToDouble(blockMax) > best)))
            {
                int largest = Math.Max(0, FirstEqual(x, at, blockMax, buffers));
                if (TReference.Reverse)
                {
                    double center = ReferenceY(r, at, at.Start + largest, buffers);
                    maxima.Center = double.IsFinite(center) ? center : maxima.Reference;
                }

                if (!TSoftcap.On && ToDouble(blockMax) > best)
                {
                    best = ToDouble(blockMax);
                    predicted = at.Start + largest;
                }
            }

            if (TReference.Forward || TReference.Reverse)
            {
                bool moves = TReference.Forward ? referenceRises : rises;
                if (block == 0 || moves || moved)
                {
                    Recenter(ref maxima, block == 0 ? SampledDifference(x, r, at, maxima, buffers) : moves ? double.NaN : MeanDifference(state));
                }
                else if (rises || referenceRises)
                {
                    Recenter(ref maxima, maxima.Difference);
                }

                changes |= moved;
                moved = moves;
            }

            if (changes)
            {
                measure = MeasureFrom(maxima);
            }

            if (overwrites && NeedsCare(lowest, maxima))
            {
                at = at with { Direct = false }; // from a copy: the logits would be overwritten before they have been read for the last time
                StagedMaxima(x, r, at, buffers);
            }

            RowState part = Sum(x, r, gradient, at, block, measure, label, buffers);
            state = block == 0 ? part : RowState.Merge(state, part, _factor, direction);
        }

        return state;
    }

    /// <summary>
    /// Moves the points so that the differences of the divergence are small where its mass is: a sum of many that are nearly equal has
    /// few digits beside them.
    /// </summary>
    /// <param name="maxima">What the points follow from.</param>
    /// <param name="difference">The mean of yr - y where that mass is; NaN where it is not known.</param>
    private void Recenter(ref BlockMaxima maxima, double difference)
    {
        maxima.Difference = difference;
        maxima.Shift = 0;
        if (!double.IsFinite(difference))
        {
            return;
        }

        if (TReference.Reverse)
        {
            // Far from where the largest logit is, differences that weigh much would lose digits to a few that weigh little.
            double center = maxima.Policy + difference;
            maxima.Center = Math.Abs(center - maxima.Center) * ToDouble(_multiplier) <= LargestRise ? center : maxima.Center;
        }
        else
        {
            double most = LargestShift / ToDouble(_multiplier);
            maxima.Shift = Math.Clamp(maxima.Reference - difference - maxima.Policy, -most, most);
        }
    }

    /// <summary>The mean of yr - y, by the probabilities that weigh the divergence.</summary>
    private static double MeanDifference(in RowState state) => TReference.Forward
        ? state.ReferenceMax - state.Max + (state.Cross / state.ReferenceSum)
        : state.Center - state.Max - (state.Cross / state.Sum);

    /// <summary>The same of a row's beginning, if that is large enough to speak for its block.</summary>
    private double SampledDifference(byte* x, byte* r, Block at, in BlockMaxima maxima, in Buffers buffers)
    {
        if (at.Count < SmallestSampled)
        {
            return double.NaN;
        }

        Block sample = at with { Count = 2 * TV.Count, Padded = 2 * TV.Count };
        Measure measure = MeasureFrom(maxima);
        Exponentials<Off>(x, r, sample, buffers.P, measure, buffers, out BlockSums<T> sums);
        BlockScale scale = measure.Scale;
        double unit = 1 / SimdMath<TV, T>.HeadroomScale;
        var state = new RowState
        {
            Max = scale.Policy,
            Sum = ToDouble(sums.Policy) * unit,
            ReferenceMax = scale.Reference,
            ReferenceSum = ToDouble(sums.Reference) * unit,
            Center = scale.Center,
            Cross = ToDouble(sums.Cross) * unit * _perArgument,
        };

        // Exponentials are at most about 1: with as many such samples the block's largest would weigh less.
        return (TReference.Forward ? state.ReferenceSum : state.Sum) * at.Count >= sample.Count ? MeanDifference(state) : double.NaN;
    }

    /// <summary>The state of a block.</summary>
    private RowState Sum(
        byte* x, byte* r, byte* gradient, Block at, int block, in Measure measure, long label, in Buffers buffers)
    {
        // The block of the label keeps its exponentials even where no gradient wants them: the label's own is to be left out of a sum.
        bool hasLabel = label >= at.Start && label < at.Start + at.Count;
        double labelY = hasLabel ? PolicyY(x, at, label, buffers) : 0; // in place, it is about to be overwritten
        T* p = KeptPolicy(gradient, at, buffers);
        BlockScale scale = measure.Scale;
        BlockSums<T> sums;
        if (hasLabel && !TGradient.On)
        {
            Exponentials<On>(x, r, at, p, measure, buffers, out sums);
        }
        else
        {
            Exponentials<TGradient>(x, r, at, p, measure, buffers, out sums);
        }

        double unit = 1 / SimdMath<TV, T>.HeadroomScale;
        var state = new RowState
        {
            Max = scale.Policy,
            Sum = ToDouble(sums.Policy) * unit,
            OtherSum = ToDouble(sums.Policy) * unit,
            ReferenceMax = scale.Reference,
            ReferenceSum = ToDouble(sums.Reference) * unit,
            Center = TReference.Reverse ? scale.Center : 0,
            Cross = ToDouble(sums.Cross) * unit * _perArgument,
            Distance = TSmoothing.On ? ToDouble(sums.Distance) * _perArgument / _problem.Vocabulary : 0,
            Unmasked = TSmoothing.On ? ToDouble(sums.Unmasked) / _problem.Vocabulary : 0,
        };
        if (!double.IsFinite(state.Cross + state.Distance) && double.IsFinite(state.Sum + state.ReferenceSum))
        {
            state = SumCarefully(x, r, at, state, ref scale, buffers);
        }

        if (TGradient.On)
        {
            buffers.Scales[block] = scale;
        }

        return !hasLabel ? state : state with
        {
            OtherSum = SumWithout(label, p, at) * unit,
            Label = labelY,
            ReferenceLabel = TReference.Reads ? ReferenceY(r, at, label, buffers) : 0,
        };
    }

    /// <summary>
    /// The divergence and smoothing terms of a block once more, in double: differences of finite logits can be larger than a float,
    /// while their product with a probability is not. Kept differences are scaled until they fit.
    /// </summary>
    private RowState SumCarefully(byte* x, byte* r, Block at, in RowState state, ref BlockScale scale, in Buffers buffers)
    {
        if (at.Direct)
        {
            Storage.Widen(PolicyAt(x, at), _problem.Logits.Type, buffers.Policy, at.Count);
            if (TReference.Reads)
            {
                Storage.Widen(ReferenceAt(r, at), _problem.Reference.Type, buffers.Reference, at.Count);
            }
        }

        double cross = 0;
        double distance = 0;
        double largest = 0;
        for (int i = 0; i < at.Count; i++)
        {
            (double weight, double quarter) = Difference(i, scale, buffers);
            cross += weight == 0 ? 0 : weight * quarter;
            largest = Math.Max(largest, weight == 0 || !double.IsFinite(quarter) ? 0 : Math.Abs(quarter));
            double y = ToDouble(buffers.Policy[i]);
            distance += double.IsNegativeInfinity(y) ? 0 : (y - scale.Policy) / _problem.Vocabulary;
        }

        if (TReference.Reverse && TGradient.On)
        {
            scale.Distance = Math.ScaleB(1, Math.Max(0, Math.ILogB(Math.Max(1, largest / s_largestKept * ToDouble(_multiplier)))));
            T* q = _backward ? buffers.Q : buffers.Q + at.Start;
            for (int i = 0; i < at.Count; i++)
            {
                (double weight, double quarter) = Difference(i, scale, buffers);
                q[at.Direct ? TElement.Place(i) : i] = FromDouble(weight == 0 ? 0 : quarter / scale.Distance * 4 * ToDouble(_multiplier));
            }
        }

        return state with { Cross = cross * 4, Distance = TSmoothing.On ? distance : 0 };
    }

    /// <summary>
    /// What a logit adds to the divergence: its probability, as far as the type of the arithmetic holds it, and a quarter of the
    /// difference of the arguments, which always fits a double.
    /// </summary>
    private (double Weight, double Quarter) Difference(int i, in BlockScale scale, in Buffers buffers)
    {
        double policy = (0.25 * ToDouble(buffers.Policy[i])) - (0.25 * scale.Policy);
        double reference = 0.25 * ToDouble(buffers.Reference[i]);
        double measured = reference - (0.25 * scale.Reference);
        double argument = 4 * ToDouble(_multiplier) * (TReference.Forward ? measured : policy);
        double weight = ToDouble(FromDouble(Math.Pow(2, argument) * SimdMath<TV, T>.HeadroomScale)) / SimdMath<TV, T>.HeadroomScale;
        return (weight, TReference.Forward ? measured - policy : policy - (reference - (0.25 * scale.Center)));
    }

    /// <summary>The sum of a block's exponentials without one of them.</summary>
    private static double SumWithout(long index, T* p, Block at)
    {
        long place = at.Direct ? TElement.Place(index - at.Start) : index - at.Start;
        T own = p[place];
        p[place] = double.IsNaN(ToDouble(own)) ? own : default;
        double sum = ToDouble(RowLoops<TV, T>.Sum(p, at.Padded));
        p[place] = own;
        return sum;
    }

    private void SecondPass(
        long row, byte* x, byte* r, byte* gradient, in RowState state, GradientCoefficients coefficients, in Buffers buffers)
    {
        if (double.IsNaN(coefficients.Policy))
        {
            FillNaN(gradient);
            return;
        }

        long label = _problem.Labels[row];
        for (int block = 0; block < _blocks; block++)
        {
            Block at = BlockAt(block);
            T* p = KeptPolicy(gradient, at, buffers);
            T* q = _backward ? buffers.Q : buffers.Q + at.Start;
            BlockScale scale = _backward ? Recompute(x, r, at, p, state, buffers) : buffers.Scales[block];
            double toProbability = Math.Exp(_factor * (scale.Policy - state.Max)) / (state.Sum * SimdMath<TV, T>.HeadroomScale);
            double a = toProbability * coefficients.Policy;
            double b = toProbability * coefficients.Reference;
            if (TReference.Forward)
            {
                b = Math.Exp(_factor * (scale.Reference - state.ReferenceMax)) / (state.ReferenceSum * SimdMath<TV, T>.HeadroomScale)
                    * coefficients.Reference;
            }
            else if (TReference.Reverse && coefficients.Reference != 0)
            {
                a += b * _factor * ((scale.Policy - state.Max) - (scale.Center - state.Center));
                b *= scale.Distance * _factor / ToDouble(_multiplier);
            }

            byte* destination = gradient + (at.Start * _gradient.Logits.Type.SizeInBytes());
            if (at.Direct || (_keepInGradient && at.Padded == at.Count))
            {
                Gradient<TElement>(p, q, at, destination, a, b, coefficients, buffers);
            }
            else
            {
                Gradient<Native<TV, T>>(p, q, at, buffers.Policy, a, b, coefficients, buffers);
                Storage.Narrow(buffers.Policy, destination, _gradient.Logits.Type, at.Count);
            }
        }

        ScalarElement.Write(gradient, _gradient.Logits.Type, label, coefficients.AtLabel);
    }

    private static void Gradient<TStored>(
        T* p, T* q, Block at, void* destination, double a, double b, GradientCoefficients coefficients, in Buffers buffers)
        where TStored : struct, IElement<TV>
    {
        T* extra = buffers.Extra + at.Start;
        (T va, T vb, T smoothing) = (FromDouble(a), FromDouble(b), FromDouble(coefficients.Smoothing));
        if (coefficients.Reference == 0)
        {
            // The KL was computed to be looked at only: a reference without a distribution is none of the gradient's business.
            RowLoops<TV, T>.Gradient<TStored, NoReference, TSmoothing, TSoftcap>(p, q, extra, destination, at.Padded, va, vb, smoothing);
        }
        else
        {
            RowLoops<TV, T>.Gradient<TStored, TReference, TSmoothing, TSoftcap>(p, q, extra, destination, at.Padded, va, vb, smoothing);
        }
    }

    /// <summary>
    /// A row without a distribution, or with an infinite weight or divergence in its gradient, has none: every element is NaN, and no
    /// other row is touched.
    /// </summary>
    private void FillNaN(byte* gradient)
    {
        for (long i = 0; i < _problem.Vocabulary; i++)
        {
            ScalarElement.Write(gradient, _gradient.Logits.Type, i, double.NaN);
        }
    }

    /// <summary>A row that counts for nothing: no logit is read, its outputs are 0, and so is its gradient.</summary>
    private void Ignore(long row)
    {
        if (!_backward)
        {
            _outputs.WriteUncounted(s_type, row);
        }

        if (TGradient.On)
        {
            StreamingZero.Fill(_gradient.Logits.Row(row), _problem.Vocabulary * _gradient.Logits.Type.SizeInBytes());
        }
    }

    /// <summary>Where a block is measured from: its maxima, or nearby.</summary>
    private Measure MeasureFrom(in BlockMaxima maxima)
    {
        // Where the points have many digits before the binary point, a product with m has too few behind it. A double has digits enough,
        // but its sums are promised to be exact to more than a product's rounding.
        bool far = typeof(T) == typeof(double) || IsFar(maxima.Policy) || IsFar(maxima.Reference) || IsFar(maxima.Center);
        double reference = maxima.Reference;
        if (TReference.Reverse && !far)
        {
            // Exponentials have room above their point, so mostly the reference's can have the divergence's.
            far = Math.Abs(maxima.Center - maxima.Reference) * ToDouble(_multiplier) > LargestRise;
            reference = far ? maxima.Reference : maxima.Center;
        }

        var points = new BlockPoints<T>(_multiplier, PointOf(maxima.Policy + maxima.Shift, far), PointOf(reference, far), PointOf(maxima.Center, far));
        return new Measure
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
    private void Exponentials<TKeep>(byte* x, byte* r, Block at, T* p, in Measure measure, in Buffers buffers, out BlockSums<T> sums)
        where TKeep : struct, ISwitch
    {
        T* q = _backward || !TGradient.On ? buffers.Q : buffers.Q + at.Start;
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
            RowLoops<TV, T>.Exponentials<TStored, TReference, TKeep, TSmoothing, TSoftcap, On>(x, r, p, q, extra, count, points, ahead, out sums);
        }
        else
        {
            RowLoops<TV, T>.Exponentials<TStored, TReference, TKeep, TSmoothing, TSoftcap, Off>(x, r, p, q, extra, count, points, ahead, out sums);
        }
    }

    private bool IsFar(double y) => Math.Abs(y * ToDouble(_multiplier)) > Far;

    private T PointOf(double y, bool far) => FromDouble(far ? y : -(y * ToDouble(_multiplier)));

    private double PolicyY(byte* x, Block at, long index, in Buffers buffers) =>
        at.Direct ? ScalarElement.Read(x, _problem.Logits.Type, index) : ToDouble(buffers.Policy[index - at.Start]);

    private double ReferenceY(byte* r, Block at, long index, in Buffers buffers) =>
        at.Direct ? ScalarElement.Read(r, _problem.Reference.Type, index) : ToDouble(buffers.Reference[index - at.Start]);

    /// <summary>The y that a point stands for, to the last bit.</summary>
    private double OriginOf(T point, bool far) => far ? ToDouble(point) : -ToDouble(point) / ToDouble(_multiplier);

    /// <summary>
    /// Takes a block's exponentials again, from a state that was saved. The center is where the mean divergence says that the
    /// policy's mass lies.
    /// </summary>
    private BlockScale Recompute(byte* x, byte* r, Block at, T* p, in RowState state, in Buffers buffers)
    {
        if (!at.Direct)
        {
            StagedMaxima(x, r, at, buffers);
        }

        double center = TReference.Reverse && double.IsFinite(state.Cross) ? state.Center - (state.Cross / state.Sum) : state.Center;
        var maxima = new BlockMaxima { Policy = state.Max, Reference = state.ReferenceMax, Center = center };
        Measure measure = MeasureFrom(maxima);
        BlockScale scale = measure.Scale;
        Exponentials<On>(x, r, at, p, measure, buffers, out BlockSums<T> sums);
        if (TReference.Reverse && !double.IsFinite(ToDouble(sums.Cross)))
        {
            SumCarefully(x, r, at, default, ref scale, buffers);
        }

        return scale;
    }

    /// <summary>Whether a sum over the block may be larger than the type of the arithmetic holds, and be done again with care.</summary>
    private bool NeedsCare(double lowest, in BlockMaxima maxima)
    {
        double size = Math.Max(-lowest, Math.Max(Math.Abs(maxima.Policy), Math.Max(Math.Abs(maxima.Reference), Math.Abs(maxima.Center))));
        return !(size * ToDouble(_multiplier) < s_largestSummed);
    }

    /// <summary>
    /// Finds a block's maxima, and the lowest logit of the row whose low ones weigh something: what either model gives no mass to weighs
    /// nothing where its own mass is the weight.
    /// </summary>
    private static (T Policy, T Reference) Ranges(void* x, void* r, int count, out double lowest)
    {
        if (TReference.Reverse && !TSmoothing.On)
        {
            (T low, T largest) = RowLoops<TV, T>.Range<TElement>(r, count);
            lowest = ToDouble(low);
            return (RowLoops<TV, T>.Max<TElement>(x, count), largest);
        }

        (T policyLow, T policyLargest) = RowLoops<TV, T>.Range<TElement>(x, count);
        lowest = ToDouble(policyLow);
        if (TReference.Reverse)
        {
            (T low, T largest) = RowLoops<TV, T>.Range<TElement>(r, count);
            lowest = Math.Min(lowest, ToDouble(low));
            return (policyLargest, largest);
        }

        return (policyLargest, TReference.Reads ? RowLoops<TV, T>.Max<TElement>(r, count) : default);
    }

    private static (T Policy, T Reference) Maxima<TStored>(void* x, void* r, int count)
        where TStored : struct, IElement<TV> =>
        (RowLoops<TV, T>.Max<TStored>(x, count), TReference.Reads ? RowLoops<TV, T>.Max<TStored>(r, count) : default);

    /// <summary>Converts and transforms a block of both rows into scratch, and finds its maxima.</summary>
    private (T Policy, T Reference) StagedMaxima(byte* x, byte* r, Block at, in Buffers buffers)
    {
        Stage(x, _problem.Logits.Type, at, buffers.Policy, TGradient.On && TSoftcap.On ? buffers.Extra + at.Start : null);
        if (TReference.Reads)
        {
            Stage(r, _problem.Reference.Type, at, buffers.Reference, null);
        }

        return Maxima<Native<TV, T>>(buffers.Policy, buffers.Reference, at.Padded);
    }

    /// <summary>The largest logit so far, and where it is.</summary>
    private void FindLargest(byte* x, Block at, ref double best, ref long predicted, in Buffers buffers)
    {
        Storage.Widen(PolicyAt(x, at), _problem.Logits.Type, buffers.Policy, at.Count);
        new Span<T>(buffers.Policy + at.Count, at.Padded - at.Count).Fill(FromDouble(double.NegativeInfinity));
        T largest = RowLoops<TV, T>.Max<Native<TV, T>>(buffers.Policy, at.Padded);
        if (ToDouble(largest) > best)
        {
            best = ToDouble(largest);
            predicted = at.Start + new ReadOnlySpan<T>(buffers.Policy, at.Count).IndexOf(largest);
        }
    }

    /// <summary>Position in the block of the first logit that equals the block's maximum.</summary>
    private int FirstEqual(byte* x, Block at, T max, in Buffers buffers)
    {
        T* logits = buffers.Policy;
        if (at.Direct && _problem.Logits.Type == s_type)
        {
            logits = (T*)PolicyAt(x, at);
        }
        else if (at.Direct)
        {
            Storage.Widen(PolicyAt(x, at), _problem.Logits.Type, logits, at.Count);
        }

        // By their bits, which is many times as fast; a zero has two forms.
        return typeof(T) == typeof(float) && ToDouble(max) != 0
            ? new ReadOnlySpan<int>(logits, at.Count).IndexOf(BitConverter.SingleToInt32Bits((float)ToDouble(max)))
            : new ReadOnlySpan<T>(logits, at.Count).IndexOf(max);
    }

    private byte* PolicyAt(byte* x, Block at) => x + (at.Start * _problem.Logits.Type.SizeInBytes());

    private byte* ReferenceAt(byte* r, Block at) => r + (at.Start * _problem.Reference.Type.SizeInBytes());

    /// <summary>The block's y in the type of the arithmetic, padded with -inf.</summary>
    private void Stage(byte* row, ElementType type, Block at, T* staged, T* slope)
    {
        Storage.Widen(row + (at.Start * type.SizeInBytes()), type, staged, at.Count);
        if (TSoftcap.On)
        {
            new Span<T>(staged + at.Count, at.Padded - at.Count).Clear();
            RowLoops<TV, T>.Softcap(staged, slope, at.Padded, FromDouble(_problem.Objective.LogitScale / _factor));
        }

        new Span<T>(staged + at.Count, at.Padded - at.Count).Fill(FromDouble(double.NegativeInfinity));
    }

    /// <summary>Where a block's policy exponentials are kept between the passes.</summary>
    private T* KeptPolicy(byte* gradient, Block at, in Buffers buffers) =>
        _backward || !TGradient.On ? buffers.P
        : !_keepInGradient ? buffers.P + at.Start
        : at.Padded == at.Count ? (T*)gradient + at.Start
        : buffers.P;

    /// <summary>What a row's gradient is multiplied with.</summary>
    private double ScaleOf(long row) => _gradient.Upstream == null
        ? _gradient.Scale
        : _gradient.Scale * ScalarElement.Read(_gradient.Upstream, s_type, row * _gradient.UpstreamStride);

    private Block BlockAt(int block)
    {
        long start = (long)block * s_block;
        int count = (int)Math.Min(s_block, _problem.Vocabulary - start);
        int padded = (count + (2 * TV.Count) - 1) / (2 * TV.Count) * (2 * TV.Count);
        return new Block(start, count, padded, _direct && padded == count);
    }

    /// <summary>A maximum to measure from: any will do where every logit is -inf.</summary>
    private static double OrZero(double max) => double.IsNegativeInfinity(max) ? 0 : max;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static double ToDouble(T value) => typeof(T) == typeof(float) ? (float)(object)value : (double)(object)value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T FromDouble(double value) => typeof(T) == typeof(float) ? (T)(object)(float)value : (T)(object)value;

    /// <summary>
    /// A stretch of a row: where it starts, how many logits it has, how many with padding to whole pairs of registers, and whether the loops
    /// can read it where it is.
    /// </summary>
    private readonly record struct Block(long Start, int Count, int Padded, bool Direct);

    /// <summary>The largest y so far, and what follows from them for the points.</summary>
    private struct BlockMaxima
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
    private struct Measure
    {
        public BlockPoints<T> Points;

        /// <summary>Whether logits are subtracted before they are multiplied.</summary>
        public bool Far;

        /// <summary>The y that the points stand for.</summary>
        public BlockScale Scale;
    }

    /// <summary>What a block's kept numbers are measured in.</summary>
    private struct BlockScale
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

    /// <summary>A thread's scratch memory.</summary>
    private struct Buffers
    {
        /// <summary>One block of policy logits, converted and transformed.</summary>
        public T* Policy;

        /// <summary>One block of reference logits, converted and transformed.</summary>
        public T* Reference;

        /// <summary>For each block, what its kept exponentials and differences are measured in.</summary>
        public BlockScale* Scales;

        /// <summary>Policy exponentials: of the row, or of one block where the gradient's row keeps the others.</summary>
        public T* P;

        /// <summary>Reference exponentials, or differences of logits, of the row.</summary>
        public T* Q;

        /// <summary>Slopes of a softcap, or marks of unmasked logits, of the row.</summary>
        public T* Extra;
    }
}
