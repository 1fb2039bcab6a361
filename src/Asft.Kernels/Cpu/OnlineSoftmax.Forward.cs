using Asft.Kernels.Cpu.Simd;
using static Asft.Kernels.ScalarElement;

namespace Asft.Kernels.Cpu;

/// <content>The first pass: the state of a row, block by block, and what the gradient needs of it.</content>
internal sealed unsafe partial class OnlineSoftmax<TV, T, TElement, TDivergence, TGradient, TSmoothing, TSoftcap, TEntropy>
{
    /// <summary>Reads the row once: its state, its largest logit and, for a gradient, what the second pass makes it of.</summary>
    private RowState FirstPass(long row, byte* x, byte* r, byte* gradient, ReadOnlySpan<TopKEntry> entries, in RowBuffers<T> buffers)
    {
        long label = _plan.LabelOf(row);
        RowState state = default;
        BlockMaxima maxima = default;
        Measure<T> measure = default;
        bool moved = false;
        double best = double.NegativeInfinity;
        long predicted = 0;
        for (int block = 0; block < _blocks; block++)
        {
            Block at = BlockAt(block);
            if (TSoftcap.On && _predicts)
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
            bool changes = rises || (TDivergence.Reads && referenceRises);
            maxima.Policy = rises ? OrZero(ToDouble(blockMax)) : maxima.Policy;
            maxima.Reference = referenceRises ? OrZero(ToDouble(referenceBlockMax)) : maxima.Reference;
            if (rises && (TDivergence.HasCenter || (!TSoftcap.On && _predicts && ToDouble(blockMax) > best)))
            {
                int largest = Math.Max(0, FirstEqual(x, at, blockMax, buffers));
                if (TDivergence.HasCenter)
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

            if (TDivergence.IsSummed)
            {
                bool moves = TDivergence.Weighing(rises, referenceRises);
                if (block == 0 || moves || moved)
                {
                    Recenter(ref maxima, block == 0 ? SampledDifference(x, r, at, maxima, buffers) : moves ? double.NaN : TDivergence.MeanDifference(state));
                }
                else if (changes)
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

            RowState part = Sum(x, r, gradient, at, block, measure, label, TopKEntry.TakeBefore(at.Start + at.Count, ref entries), buffers);
            state = block == 0 ? part : RowState.Merge<TDivergence>(state, part, _factor);
        }

        return state with { Largest = best, Predicted = _problem.FirstColumn + predicted };
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

        if (TDivergence.HasCenter)
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

    /// <summary>The mean difference of a row's beginning, if that is large enough to speak for its block.</summary>
    private double SampledDifference(byte* x, byte* r, Block at, in BlockMaxima maxima, in RowBuffers<T> buffers)
    {
        if (at.Count < SmallestSampled)
        {
            return double.NaN;
        }

        Block sample = at with { Count = 2 * TV.Count, Padded = 2 * TV.Count };
        Measure<T> measure = MeasureFrom(maxima);
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
        double weight = TDivergence.Weighing(state.Sum, state.ReferenceSum);
        return weight * at.Count >= sample.Count ? TDivergence.MeanDifference(state) : double.NaN;
    }

    /// <summary>The state of a block.</summary>
    private RowState Sum(
        byte* x,
        byte* r,
        byte* gradient,
        Block at,
        int block,
        in Measure<T> measure,
        long label,
        ReadOnlySpan<TopKEntry> entries,
        in RowBuffers<T> buffers)
    {
        // The block of the label keeps its exponentials even where no gradient wants them: the label's own is to be left out of a sum. So are
        // those of the entries of a top-k reference.
        bool hasLabel = label >= at.Start && label < at.Start + at.Count;
        double labelY = hasLabel ? PolicyY(x, at, label, buffers) : 0; // in place, it is about to be overwritten
        T* p = KeptPolicy(gradient, at, buffers);
        BlockScale scale = measure.Scale;
        BlockSums<T> sums;
        if ((hasLabel || !entries.IsEmpty) && !TGradient.On)
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
            Center = TDivergence.HasCenter ? scale.Center : 0,
            Cross = ToDouble(sums.Cross) * unit * _perArgument,
            Entropy = TEntropy.On ? ToDouble(sums.Entropy) * unit * _perArgument : 0,
            Squares = TEntropy.HasSquares ? ToDouble(sums.Squares) * unit : 0,
            TailSum = _plan.IsTopK ? ToDouble(sums.Policy) * unit : 0,
            Distance = TSmoothing.On ? ToDouble(sums.Distance) * _perArgument / _plan.Vocabulary : 0,
            Unmasked = TSmoothing.On ? ToDouble(sums.Unmasked) / _plan.Vocabulary : 0,
        };
        if (!double.IsFinite(state.Cross + state.Distance) && double.IsFinite(state.Sum + state.ReferenceSum))
        {
            state = SumCarefully(x, r, at, state, ref scale, buffers);
        }

        if (TGradient.On)
        {
            // A block without any mass may have been measured from far above the row's maximum.
            buffers.Scales[block] = scale with
            {
                Policy = state.Sum == 0 ? double.NegativeInfinity : scale.Policy,
                Reference = state.ReferenceSum == 0 ? double.NegativeInfinity : scale.Reference,
            };
        }

        if (!entries.IsEmpty)
        {
            state = state with { TailSum = SumWithout(entries, p, at, buffers.Aside) * unit };
        }

        return !hasLabel ? state : state with
        {
            OtherSum = SumWithout(label, p, at) * unit,
            Label = labelY,
            ReferenceLabel = TDivergence.Reads ? ReferenceY(r, at, label, buffers) : 0,
        };
    }

    /// <summary>The sum of a block's exponentials without one of them.</summary>
    private static double SumWithout(long index, T* p, Block at)
    {
        long place = PlaceOf(index, at);
        T own = p[place];
        p[place] = double.IsNaN(ToDouble(own)) ? own : default;
        double sum = ToDouble(BlockLoops<TV, T>.Sum(p, at.Padded));
        p[place] = own;
        return sum;
    }

    /// <summary>The same without several.</summary>
    private static double SumWithout(ReadOnlySpan<TopKEntry> entries, T* p, Block at, T* aside)
    {
        for (int i = 0; i < entries.Length; i++)
        {
            long place = PlaceOf(entries[i].Column, at);
            aside[i] = p[place];
            p[place] = double.IsNaN(ToDouble(p[place])) ? p[place] : default;
        }

        double sum = ToDouble(BlockLoops<TV, T>.Sum(p, at.Padded));
        for (int i = 0; i < entries.Length; i++)
        {
            p[PlaceOf(entries[i].Column, at)] = aside[i];
        }

        return sum;
    }

    /// <summary>Where a column's exponential is kept.</summary>
    private static long PlaceOf(long column, Block at) => at.Direct ? TElement.Place(column - at.Start) : column - at.Start;

    /// <summary>The largest logit so far, and where it is.</summary>
    private void FindLargest(byte* x, Block at, ref double best, ref long predicted, in RowBuffers<T> buffers)
    {
        BlockConversion.Widen(PolicyAt(x, at), _problem.Logits.Type, buffers.Policy, at.Count);
        new Span<T>(buffers.Policy + at.Count, at.Padded - at.Count).Fill(FromDouble<T>(double.NegativeInfinity));
        T largest = BlockLoops<TV, T>.Max<Native<TV, T>>(buffers.Policy, at.Padded);
        if (ToDouble(largest) > best)
        {
            best = ToDouble(largest);
            predicted = at.Start + FirstEqual(buffers.Policy, at.Count, largest);
        }
    }

    /// <summary>Position in the block of the first logit that equals the block's maximum.</summary>
    private int FirstEqual(byte* x, Block at, T max, in RowBuffers<T> buffers)
    {
        T* logits = buffers.Policy;
        if (at.Direct && _problem.Logits.Type == _plan.Arithmetic)
        {
            logits = (T*)PolicyAt(x, at);
        }
        else if (at.Direct)
        {
            BlockConversion.Widen(PolicyAt(x, at), _problem.Logits.Type, logits, at.Count);
        }

        return FirstEqual(logits, at.Count, max);
    }

    /// <summary>Position of the first of some logits that equals one of them; by their bits, which is many times as fast. A zero has two forms.</summary>
    private static int FirstEqual(T* logits, int count, T value) => typeof(T) == typeof(double)
        ? new ReadOnlySpan<double>(logits, count).IndexOf(ToDouble(value))
        : ToDouble(value) != 0
            ? new ReadOnlySpan<int>(logits, count).IndexOf(BitConverter.SingleToInt32Bits((float)ToDouble(value)))
            : new ReadOnlySpan<float>(logits, count).IndexOf(0f);

    /// <summary>A maximum to measure from: any will do where every logit is -inf.</summary>
    private static double OrZero(double max) => double.IsNegativeInfinity(max) ? 0 : max;
}
