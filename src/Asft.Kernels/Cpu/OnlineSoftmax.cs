using System.Runtime.Intrinsics.X86;
using Asft.Kernels.Cpu.Simd;
using Asft.Kernels.Divergence;
using static Asft.Kernels.ScalarElement;

namespace Asft.Kernels.Cpu;

/// <summary>
/// Works through rows, each in two passes over blocks that fit the first-level cache. The first reads the logits once, finds each
/// block's maximum, takes one exponential per logit, and merges the block into the row's state. The second, while what the first
/// kept is still in the second-level cache, turns it into the gradient.
/// </summary>
/// <remarks>
/// Where the gradient has the type of the arithmetic, the policy's exponentials are kept in the gradient's own row: in place, that
/// is the logits' row, so the only scratch is one row of the reference's exponentials.
/// <see cref="ITokenLossKernel.Backward"/> is the second pass alone, with what <see cref="ITokenLossKernel.Summarize"/>, the first, has kept of
/// all rows or, where it has not, with the exponentials measured once more, from the saved state.
/// </remarks>
internal sealed unsafe partial class OnlineSoftmax<TV, T, TElement, TDivergence, TGradient, TSmoothing, TSoftcap, TEntropy> : IRowLoopBody
    where TV : struct, ISimd<TV, T>
    where T : unmanaged
    where TElement : struct, IElement<TV>
    where TDivergence : struct, IDivergence
    where TGradient : struct, ISwitch
    where TSmoothing : struct, ISwitch
    where TSoftcap : struct, ISwitch
    where TEntropy : struct, IEntropy
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

    private readonly RowPlan _plan;
    private readonly TokenProblem _problem;
    private readonly TokenGradient _gradient;
    private readonly KeptExponentials? _kept;
    private readonly bool _remakes;
    private readonly bool _direct;
    private readonly bool _keepInGradient;
    private readonly bool _mayNeedCare;
    private readonly bool _predicts;
    private readonly int _blocks;
    private readonly byte* _end;
    private readonly double _factor;
    private readonly T _multiplier;

    /// <summary>y of an argument in base 2.</summary>
    private readonly double _perArgument;

    public OnlineSoftmax(in RowPlan plan)
    {
        _plan = plan;
        _problem = plan.Problem;
        _gradient = plan.Gradient;
        _kept = TGradient.On ? plan.Gradient.Kept : null;
        _remakes = plan.IsBackward && !plan.Resumes;
        _factor = TokenResult.FactorOf(_problem.Objective);
        _multiplier = FromDouble<T>(_factor * Log2E);
        _perArgument = 1 / ToDouble(_multiplier);
        _direct = !TSoftcap.On && _problem.Logits.Type == TElement.Type
            && (!TDivergence.Reads || _problem.Reference.Type == TElement.Type);
        _keepInGradient = _gradient.Logits.Type == plan.Arithmetic;
        _mayNeedCare = _keepInGradient && (TDivergence.IsSummed || TSmoothing.On);
        _predicts = plan.IsSummary ? !_problem.OmitsMetrics : plan.Outputs.Predicted != null;
        _blocks = (int)((_problem.Vocabulary + s_block - 1) / s_block);

        // How far logits can be read, where that is easy to say.
        LogitMatrix logits = _problem.Logits;
        _end = logits.RowOffsets == null && logits.RowStride >= 0
            ? (byte*)logits.Row(_problem.Rows - 1) + (_problem.Vocabulary * logits.Type.SizeInBytes())
            : null;
        if (plan.IsSummary)
        {
            _kept?.Begin(_problem.Rows, RowBytes);
        }
        else if (plan.Resumes)
        {
            _kept!.End(_problem.Rows, "gradient");
        }
    }

    public void Run(ParallelRowLoop rows)
    {
        nuint rowBytes = _kept is null ? RowBytes : 0;
        RowScratch scratch = rows.Rent((2 * RowScratch.SizeOf<T>(s_block)) + RowScratch.SizeOf<T>(_plan.EntryCount) + rowBytes);
        try
        {
            RowBuffers<T> buffers = new()
            {
                Policy = scratch.Take<T>(s_block),
                Reference = scratch.Take<T>(s_block),
                Aside = scratch.Take<T>(_plan.EntryCount),
            };
            Run(rows, OfRow(scratch.Take<byte>((long)rowBytes), buffers));
        }
        finally
        {
            scratch.Return();
        }
    }

    /// <summary>The bytes that belong to a row while it is worked on, or kept.</summary>
    private nuint RowBytes
    {
        get
        {
            byte* end = null;
            Take(ref end, default);
            return (nuint)end;
        }
    }

    /// <summary>The buffers of a thread with those of a row, which lie in some memory.</summary>
    private RowBuffers<T> OfRow(byte* memory, in RowBuffers<T> buffers) => Take(ref memory, buffers);

    /// <summary>Divides the memory of a row.</summary>
    private RowBuffers<T> Take(ref byte* next, in RowBuffers<T> buffers)
    {
        long padded = (long)_blocks * s_block;
        return buffers with
        {
            Scales = RowScratch.Take<BlockScale>(ref next, _blocks),
            Kept = RowScratch.Take<KeptRow>(ref next, 1),
            Entries = RowScratch.Take<TopKEntry>(ref next, _plan.EntryCount),
            P = RowScratch.Take<T>(ref next, !TGradient.On || _keepInGradient || _remakes ? s_block : padded),
            Extra = RowScratch.Take<T>(ref next, !(TSmoothing.On || TSoftcap.On) ? 0 : !TGradient.On ? s_block : padded),
            Q = RowScratch.Take<T>(ref next, !TDivergence.IsSummed ? 0 : !TGradient.On || _remakes ? s_block : padded),
        };
    }

    private void Run(ParallelRowLoop rows, in RowBuffers<T> buffers)
    {
        while (rows.TryTake(out long first, out long end))
        {
            if (!_plan.Resumes)
            {
                PrefetchNextCounted(first, end);
            }

            for (long row = first; row < end; row++)
            {
                if (!_plan.Counts(row))
                {
                    Ignore(row);
                }
                else if (IsShort)
                {
                    CountShort(row, buffers);
                }
                else if (_kept is null)
                {
                    Count(row, end, buffers);
                }
                else
                {
                    Count(row, end, OfRow(_kept.Row(row), buffers));
                }
            }
        }

        if (Sse.IsSupported)
        {
            Sse.StoreFence(); // zeroed rows went past the caches
        }
    }

    /// <summary>A row that counts.</summary>
    private void Count(long row, long end, in RowBuffers<T> buffers)
    {
        byte* x = (byte*)_problem.Logits.Row(row);
        byte* r = TDivergence.Reads ? (byte*)_problem.Reference.Row(row) : null;
        byte* gradient = TGradient.On ? (byte*)_gradient.Logits.Row(row) : null;
        // Now, as in place these logits are about to be overwritten, if they are not already.
        double slope = !TSoftcap.On || !TGradient.On ? 1 : _plan.Resumes ? buffers.Kept->Slope : _plan.LabelSlope(row);
        Span<TopKEntry> room = new(buffers.Entries, _plan.EntryCount);
        ReadOnlySpan<TopKEntry> entries = _plan.Resumes ? room[..buffers.Kept->Entries] : TopKEntry.Read(_plan, row, room);
        RowState state = _plan.IsBackward ? _plan.Outputs.State[row]
            : TopKEntry.Add(_plan, row, _plan.WithLabelReference(row, FirstPass(row, x, r, gradient, entries, buffers)), entries);
        if (_plan.IsSummary)
        {
            _plan.Outputs.State[row] = state;
            *buffers.Kept = new KeptRow(slope, entries.Length);
            PrefetchNextCounted(row + 1, end);
            return;
        }

        TokenResult result = _plan.ResultOf(row, state);
        if (!_plan.IsBackward)
        {
            _plan.Write(row, state, result);
        }

        if (!_plan.Resumes)
        {
            PrefetchNextCounted(row + 1, end);
        }

        if (TGradient.On)
        {
            GradientCoefficients coefficients = result.Gradient(_plan.ScaleOf(row), slope);
            SecondPass(row, x, r, gradient, state, result, coefficients, entries, buffers);
        }
    }

    /// <summary>
    /// Asks for the first block of the next row that counts. Within a row each block asks for the one after it; without this, every
    /// row would begin by waiting for memory.
    /// </summary>
    private void PrefetchNextCounted(long row, long end)
    {
        while (row < end && !_plan.Counts(row))
        {
            row++;
        }

        if (row < end)
        {
            long logits = Math.Min(s_block, _problem.Vocabulary);
            Prefetch.Stretch(_problem.Logits.Row(row), logits * _problem.Logits.Type.SizeInBytes());
            if (TDivergence.Reads)
            {
                Prefetch.Stretch(_problem.Reference.Row(row), logits * _problem.Reference.Type.SizeInBytes());
            }
        }
    }

    /// <summary>A row that counts for nothing: no logit is read, its outputs are 0, and so is its gradient.</summary>
    private void Ignore(long row)
    {
        if (!_plan.IsBackward)
        {
            _plan.Outputs.WriteUncounted(_plan.Arithmetic, row);
        }

        if (TGradient.On && !_plan.IsSummary)
        {
            StreamingZero.Fill(_gradient.Logits.Row(row), _problem.Vocabulary * _gradient.Logits.Type.SizeInBytes());
        }
    }
}
