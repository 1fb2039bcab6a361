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
/// <see cref="ITokenLossKernel.Backward"/> is the second pass alone, with the exponentials taken from the saved log-sum-exps.
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
    private static readonly int s_block = BlockBytes / sizeof(T);
    private static readonly ElementType s_type = typeof(T) == typeof(float) ? ElementType.Float32 : ElementType.Float64;

    private readonly TokenProblem _problem;
    private readonly TokenOutputs _outputs;
    private readonly TokenGradient _gradient;
    private readonly bool _backward;
    private readonly bool _direct;
    private readonly bool _keepInGradient;
    private readonly int _blocks;

    public RowBody(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient, bool backward)
    {
        _problem = problem;
        _outputs = outputs;
        _gradient = gradient;
        _backward = backward;
        _direct = !TSoftcap.On && problem.Objective.LogitScale == 1 && problem.Logits.Type == TElement.Type
            && (!TReference.Reads || problem.Reference.Type == TElement.Type);
        _keepInGradient = gradient.Logits.Type == s_type;
        _blocks = (int)((problem.Vocabulary + s_block - 1) / s_block);
    }

    public void Run(RowJob rows)
    {
        long padded = (long)_blocks * s_block;
        long p = !TGradient.On ? 0 : _keepInGradient || _backward ? s_block : padded;
        long q = !TGradient.On || !(TReference.Forward || TReference.Reverse) ? 0 : _backward ? s_block : padded;
        long extra = !TGradient.On || !(TSmoothing.On || TSoftcap.On) ? 0 : padded;
        RowScratch scratch = rows.Rent(
            (2 * RowScratch.SizeOf<T>(s_block)) + (2 * RowScratch.SizeOf<T>(_blocks))
            + RowScratch.SizeOf<T>(p) + RowScratch.SizeOf<T>(q) + RowScratch.SizeOf<T>(extra));
        try
        {
            Run(rows, new Buffers
            {
                Policy = scratch.Take<T>(s_block),
                Reference = scratch.Take<T>(s_block),
                Max = scratch.Take<T>(_blocks),
                ReferenceMax = scratch.Take<T>(_blocks),
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
        (RowState state, GradientCoefficients coefficients) = _backward
            ? Restore(row, x)
            : FirstPass(row, x, r, gradient, buffers);
        PrefetchNextCounted(row + 1, end);
        if (TGradient.On)
        {
            SecondPass(row, x, r, gradient, state, coefficients, buffers);
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

    private (RowState State, GradientCoefficients Coefficients) FirstPass(long row, byte* x, byte* r, byte* gradient, in Buffers buffers)
    {
        LossObjective objective = _problem.Objective;
        long label = _problem.Labels[row];
        double zLabel = TokenMath.Transform(objective, ScalarElement.Read(x, _problem.Logits.Type, label));
        double zrLabel = TReference.Reads
            ? TokenMath.Transform(objective, ScalarElement.Read(r, _problem.Reference.Type, label))
            : 0;

        KlDirection direction = TReference.Reverse ? KlDirection.Reverse : KlDirection.Forward;
        RowState state = default;
        double logits = 0;
        double unmasked = 0;
        double best = double.NegativeInfinity;
        long predicted = 0;
        for (int block = 0; block < _blocks; block++)
        {
            Block at = BlockAt(block);
            (T blockMax, T referenceBlockMax) = at.Direct
                ? Maxima<TElement>(PolicyAt(x, at), ReferenceAt(r, at), at.Padded)
                : StagedMaxima(x, r, at, buffers);
            T max = ToBase2(Larger(ToDouble(blockMax), state.Max, state.Sum));
            T referenceMax = ToBase2(Larger(ToDouble(referenceBlockMax), state.ReferenceMax, state.ReferenceSum));
            if (_outputs.Predicted != null && ToDouble(blockMax) > best)
            {
                best = ToDouble(blockMax);
                predicted = at.Start + FirstEqual(x, at, blockMax, buffers);
            }

            Exponentials<TGradient>(
                x, r, at, KeptPolicy(gradient, at, buffers), buffers.Q + at.Start, max, referenceMax, buffers, out BlockSums<T> sums);
            if (TGradient.On)
            {
                buffers.Max[block] = max;
                buffers.ReferenceMax[block] = referenceMax;
            }

            state = RowState.Merge(
                state,
                new RowState(
                    FromBase2(max),
                    ToDouble(sums.Policy),
                    FromBase2(referenceMax),
                    ToDouble(sums.Reference),
                    FromBase2(sums.Cross)),
                direction);
            logits += ToDouble(sums.Logits);
            unmasked += ToDouble(sums.Unmasked);
        }

        double lse = state.LogSumExp;
        double referenceLse = TReference.Reads ? state.ReferenceLogSumExp : 0;
        double kl = TReference.Forward || TReference.Reverse ? state.Kl(direction) : 0;
        double logProbability = zLabel - state.Max - Math.Log(state.Sum);
        double weight = TokenMath.Weight(objective, logProbability, zrLabel - referenceLse);
        double meanLogProbability = TSmoothing.On ? (logits - (unmasked * lse)) / _problem.Vocabulary : 0;

        double loss = TokenMath.Loss(objective, weight, logProbability, meanLogProbability, kl, lse);
        _outputs.Write(s_type, row, loss, logProbability, weight, kl, lse, referenceLse, predicted);
        return TGradient.On
            ? (state, GradientCoefficients.Of(objective, Factor(row), weight, kl, lse, referenceLse, _problem.Vocabulary, unmasked))
            : default;
    }

    /// <summary>What <see cref="FirstPass"/> found, from the outputs it saved.</summary>
    private (RowState State, GradientCoefficients Coefficients) Restore(long row, byte* x)
    {
        bool kl = TReference.Forward || TReference.Reverse;
        double lse = ScalarElement.Read(_outputs.LogSumExp, s_type, row);
        double referenceLse = kl ? ScalarElement.Read(_outputs.ReferenceLogSumExp, s_type, row) : 0;
        var coefficients = GradientCoefficients.Of(
            _problem.Objective,
            Factor(row),
            ScalarElement.Read(_outputs.Weight, s_type, row),
            kl ? ScalarElement.Read(_outputs.Kl, s_type, row) : 0,
            lse,
            referenceLse,
            _problem.Vocabulary,
            TSmoothing.On ? CountUnmasked(x) : 0);
        return (new RowState(lse, 1, referenceLse, 1, 0), coefficients);
    }

    private void SecondPass(
        long row, byte* x, byte* r, byte* gradient, in RowState state, GradientCoefficients coefficients, in Buffers buffers)
    {
        if (!double.IsFinite(state.LogSumExp) || (coefficients.Reference != 0 && !double.IsFinite(state.ReferenceLogSumExp))
            || !coefficients.AreFinite)
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
            if (_backward)
            {
                buffers.Max[block] = ToBase2(state.Max);
                buffers.ReferenceMax[block] = ToBase2(state.ReferenceMax);
                if (!at.Direct)
                {
                    StagedMaxima(x, r, at, buffers);
                }

                Exponentials<On>(x, r, at, p, q, buffers.Max[block], buffers.ReferenceMax[block], buffers, out _);
            }

            double max = FromBase2(buffers.Max[block]);
            double referenceMax = FromBase2(buffers.ReferenceMax[block]);
            double toProbability = Math.Exp(max - state.Max) / state.Sum;
            (double a, double b) = TReference.Reverse
                ? (toProbability * (coefficients.Policy + (coefficients.Reference * (max - referenceMax))), toProbability * coefficients.Reference / SimdMath<TV, T>.Log2E)
                : (toProbability * coefficients.Policy, TReference.Forward ? Math.Exp(referenceMax - state.ReferenceMax) / state.ReferenceSum * coefficients.Reference : 0);

            bool hasLabel = label >= at.Start && label < at.Start + at.Count;
            double labelGradient = hasLabel ? AtLabel(p, q, at, label, a, b, coefficients, buffers) : 0;
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

            if (hasLabel)
            {
                ScalarElement.Write(gradient, _gradient.Logits.Type, label, labelGradient);
            }
        }
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

    /// <summary>The gradient at the label itself, where 1 is taken away before anything is rounded.</summary>
    private static double AtLabel(
        T* p, T* q, Block at, long label, double a, double b, GradientCoefficients coefficients, in Buffers buffers)
    {
        long place = at.Direct ? TElement.Place(label - at.Start) : label - at.Start;
        double kept = ToDouble(p[place]);
        double g = coefficients.Reference == 0 ? a * kept
            : TReference.Forward ? (a * kept) + (b * ToDouble(q[place]))
            : TReference.Reverse ? kept * (a + (b * ToDouble(q[place])))
            : a * kept;
        double extra = TSmoothing.On || TSoftcap.On ? ToDouble(buffers.Extra[at.Start + place]) : 1;
        double smoothing = TSmoothing.On && !TSoftcap.On ? coefficients.Smoothing * extra : coefficients.Smoothing;
        return (g - smoothing - coefficients.Label) * (TSoftcap.On ? extra : 1);
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
            _outputs.WriteIgnored(s_type, row);
        }

        if (TGradient.On)
        {
            StreamingZero.Fill(_gradient.Logits.Row(row), _problem.Vocabulary * _gradient.Logits.Type.SizeInBytes());
        }
    }

    private void Exponentials<TKeep>(
        byte* x, byte* r, Block at, T* p, T* q, T max, T referenceMax, in Buffers buffers, out BlockSums<T> sums)
        where TKeep : struct, ISwitch
    {
        T* extra = buffers.Extra + at.Start;
        long next = at.Start + s_block;
        int policySize = _problem.Logits.Type.SizeInBytes();
        int referenceSize = _problem.Reference.Type.SizeInBytes();
        Prefetch ahead = new(x + (next * policySize), policySize, r + (next * referenceSize), referenceSize);
        if (at.Direct)
        {
            RowLoops<TV, T>.Exponentials<TElement, TReference, TKeep, TSmoothing, TSoftcap>(
                PolicyAt(x, at), ReferenceAt(r, at), p, q, extra, at.Padded, max, referenceMax, ahead, out sums);
        }
        else
        {
            RowLoops<TV, T>.Exponentials<Native<TV, T>, TReference, TKeep, TSmoothing, TSoftcap>(
                buffers.Policy, buffers.Reference, p, q, extra, at.Padded, max, referenceMax, ahead, out sums);
        }
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

    /// <summary>Position in the block of the first logit that equals the block's maximum.</summary>
    private int FirstEqual(byte* x, Block at, T max, in Buffers buffers)
    {
        if (at.Direct)
        {
            Storage.Widen(PolicyAt(x, at), _problem.Logits.Type, buffers.Policy, at.Count);
        }

        return new ReadOnlySpan<T>(buffers.Policy, at.Count).IndexOf(max);
    }

    private byte* PolicyAt(byte* x, Block at) => x + (at.Start * _problem.Logits.Type.SizeInBytes());

    private byte* ReferenceAt(byte* r, Block at) => r + (at.Start * _problem.Reference.Type.SizeInBytes());

    /// <summary>The block's transformed logits z in the type of the arithmetic, padded with -inf.</summary>
    private void Stage(byte* row, ElementType type, Block at, T* staged, T* slope)
    {
        LossObjective objective = _problem.Objective;
        Storage.Widen(row + (at.Start * type.SizeInBytes()), type, staged, at.Count);
        new Span<T>(staged + at.Count, at.Padded - at.Count).Clear();
        if (TSoftcap.On)
        {
            double cap = objective.LogitSoftcap;
            double scale = objective.LogitScale;
            RowLoops<TV, T>.Softcap(staged, staged, slope, at.Padded, FromDouble(scale / cap), FromDouble(cap), FromDouble(scale));
        }
        else if (objective.LogitScale != 1)
        {
            RowLoops<TV, T>.Scale(staged, staged, at.Padded, FromDouble(objective.LogitScale));
        }

        new Span<T>(staged + at.Count, at.Padded - at.Count).Fill(FromDouble(double.NegativeInfinity));
    }

    private long CountUnmasked(byte* x)
    {
        if (TSoftcap.On)
        {
            return _problem.Vocabulary;
        }

        long unmasked = 0;
        for (long i = 0; i < _problem.Vocabulary; i++)
        {
            unmasked += double.IsNegativeInfinity(ScalarElement.Read(x, _problem.Logits.Type, i)) ? 0 : 1;
        }

        return unmasked;
    }

    /// <summary>Where a block's policy exponentials are kept between the passes.</summary>
    private T* KeptPolicy(byte* gradient, Block at, in Buffers buffers) =>
        _backward || !TGradient.On ? buffers.P
        : !_keepInGradient ? buffers.P + at.Start
        : at.Padded == at.Count ? (T*)gradient + at.Start
        : buffers.P;

    /// <summary>Scale and upstream gradient and, unless the slope of a softcap carries it, dz/dx = s.</summary>
    private double Factor(long row)
    {
        double upstream = _gradient.Upstream == null
            ? 1
            : ScalarElement.Read(_gradient.Upstream, s_type, row * _gradient.UpstreamStride);
        return _gradient.Scale * upstream * (TSoftcap.On ? 1 : _problem.Objective.LogitScale);
    }

    private Block BlockAt(int block)
    {
        long start = (long)block * s_block;
        int count = (int)Math.Min(s_block, _problem.Vocabulary - start);
        int padded = (count + (2 * TV.Count) - 1) / (2 * TV.Count) * (2 * TV.Count);
        return new Block(start, count, padded, _direct && padded == count);
    }

    /// <summary>The maximum to take exponentials from: finite, or +inf, even where every logit so far is -inf.</summary>
    private static double Larger(double blockMax, double max, double sum) =>
        sum != 0 && max >= blockMax ? max : double.IsNegativeInfinity(blockMax) ? 0 : blockMax;

    /// <summary>A maximum in the base-2 units of the loops. They multiply by the same rounded constant, so no error comes in.</summary>
    private static T ToBase2(double value) => FromDouble(value * SimdMath<TV, T>.Log2E);

    private static double FromBase2(T value) => ToDouble(value) / SimdMath<TV, T>.Log2E;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static double ToDouble(T value) => typeof(T) == typeof(float) ? (float)(object)value : (double)(object)value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T FromDouble(double value) => typeof(T) == typeof(float) ? (T)(object)(float)value : (T)(object)value;

    /// <summary>
    /// A stretch of a row: where it starts, how many logits it has, how many with padding to whole pairs of registers, and whether the loops
    /// can read it where it is.
    /// </summary>
    private readonly record struct Block(long Start, int Count, int Padded, bool Direct);

    /// <summary>A thread's scratch memory.</summary>
    private struct Buffers
    {
        /// <summary>One block of policy logits, converted and transformed.</summary>
        public T* Policy;

        /// <summary>One block of reference logits, converted and transformed.</summary>
        public T* Reference;

        /// <summary>For each block, the maximum its policy exponentials were taken from, in base 2.</summary>
        public T* Max;

        /// <summary>For each block, the maximum its reference exponentials were taken from, in base 2.</summary>
        public T* ReferenceMax;

        /// <summary>Policy exponentials: of the row, or of one block where the gradient's row keeps the others.</summary>
        public T* P;

        /// <summary>Reference exponentials, or differences of logits, of the row.</summary>
        public T* Q;

        /// <summary>Slopes of a softcap, or marks of unmasked logits, of the row.</summary>
        public T* Extra;
    }
}
