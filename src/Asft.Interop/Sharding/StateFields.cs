using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// What of a row's state the ranks tell each other: places in <see cref="RowState"/>, as numbers of 8 bytes. What nobody will ask for stays 0 on
/// all of them: 32 bytes a row without a reference, at most 64 with one; with label smoothing 16 more, with metrics 24.
/// </summary>
internal sealed unsafe class StateFields
{
    /// <summary>Numbers in a state.</summary>
    public static readonly int Count = sizeof(RowState) / sizeof(double);

    // In the order of RowState's members.
    private const int Max = 0;
    private const int Sum = 1;
    private const int OtherSum = 2;
    private const int ReferenceMax = 3;
    private const int ReferenceSum = 4;
    private const int Center = 5;
    private const int Cross = 6;
    private const int Distance = 7;
    private const int Unmasked = 8;
    private const int Label = 9;
    private const int ReferenceLabel = 10;
    private const int Entropy = 11;
    private const int Squares = 12;
    private const int TailSum = 13;
    private const int Largest = 14;
    private const int Predicted = 15;

    /// <summary>Those that a loss needs.</summary>
    /// <param name="objective">The objective.</param>
    /// <param name="hasReference">Whether something is read of a reference.</param>
    /// <param name="isTopK">Whether that is its most likely entries, whose log-probabilities need no maximum to be measured from.</param>
    /// <param name="metrics">Whether the per-token results are wanted.</param>
    /// <param name="statistics">Whether a weighting gets the statistics.</param>
    public StateFields(LossObjective objective, bool hasReference, bool isTopK, bool metrics, bool statistics)
    {
        bool isExact = objective.KlEstimator == KlEstimator.Exact;
        bool hasCross = hasReference && isExact && (objective.KlWeight > 0 || metrics || statistics);
        bool hasReferenceLabel = hasReference && (!isExact || objective.Weighting == TokenWeighting.ImportanceRatio || statistics);
        HasMetrics = metrics || statistics;
        Sent =
        [
            Max, Sum, OtherSum, Label,
            .. If(hasReference, ReferenceSum),
            .. If(hasReference && !isTopK, ReferenceMax),
            .. If(hasReferenceLabel, ReferenceLabel),
            .. If(hasCross, Cross),
            .. If(hasCross && !isTopK && objective.KlDirection == KlDirection.Reverse, Center),
            .. If(isTopK, TailSum),
            .. If(objective.LabelSmoothing > 0, Distance, Unmasked),
            .. If(HasMetrics || objective.Weighting == TokenWeighting.Entropy, Entropy),
            .. If(statistics, Squares),
            .. If(metrics, Largest, Predicted),
        ];
        Local = hasReference && !hasReferenceLabel ? [ReferenceLabel] : [];
    }

    /// <summary>What every rank tells the others.</summary>
    public int[] Sent { get; }

    /// <summary>What only the gradient at a label needs, which is of the rank that has the label.</summary>
    public int[] Local { get; }

    /// <summary>Whether somebody looks at more than the loss.</summary>
    public bool HasMetrics { get; }

    /// <summary>Copies some numbers of states one after the other.</summary>
    public static void Pack(RowState* states, long rows, ReadOnlySpan<int> fields, double* packed)
    {
        for (long row = 0; row < rows; row++)
        {
            double* state = (double*)(states + row);
            foreach (int field in fields)
            {
                *packed++ = state[field];
            }
        }
    }

    /// <summary>The opposite; the other numbers stay.</summary>
    public static void Unpack(double* packed, long rows, ReadOnlySpan<int> fields, RowState* states)
    {
        for (long row = 0; row < rows; row++)
        {
            double* state = (double*)(states + row);
            foreach (int field in fields)
            {
                state[field] = *packed++;
            }
        }
    }

    /// <summary>Places as torch's index operations take them.</summary>
    public static Tensor Indices(int[] fields, Device device) => tensor(fields.Select(static field => (long)field).ToArray(), device: device);

    private static int[] If(bool wanted, params int[] fields) => wanted ? fields : [];
}
