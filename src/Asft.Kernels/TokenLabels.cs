namespace Asft.Kernels;

/// <summary>Checks of labels that every backend and binding shares.</summary>
internal static unsafe class TokenLabels
{
    /// <summary>Looks for a label that is neither in <c>[0, V)</c> nor the ignore index.</summary>
    /// <param name="labels">The labels, in host memory.</param>
    /// <param name="count">How many there are.</param>
    /// <param name="vocabulary">Vocabulary size V.</param>
    /// <param name="ignoreIndex">The label of rows that count for nothing.</param>
    /// <returns>Position of the first such label, or -1.</returns>
    public static long FirstOutOfRange(long* labels, long count, long vocabulary, long ignoreIndex)
    {
        for (long i = 0; i < count; i++)
        {
            if ((ulong)labels[i] >= (ulong)vocabulary && labels[i] != ignoreIndex)
            {
                return i;
            }
        }

        return -1;
    }

    /// <summary>Throws for the first label that is neither in <c>[0, V)</c> nor the ignore index.</summary>
    /// <param name="plan">The call whose labels are checked; they are in host memory.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is such a label; the message names its position and value.</exception>
    internal static void Check(in RowPlan plan)
    {
        TokenProblem problem = plan.Problem;
        long invalid = FirstOutOfRange(problem.Labels, problem.Rows, plan.Vocabulary, problem.Objective.IgnoreIndex);
        if (invalid >= 0)
        {
            throw OutOfRange(
                "labels", Invariant($"labels[{invalid}]"), problem.Labels[invalid], plan.Vocabulary, problem.Objective.IgnoreIndex);
        }
    }

    /// <summary>The exception for a label that is out of range.</summary>
    /// <param name="parameter">Name of the caller's parameter.</param>
    /// <param name="position">The label as the caller would write it, for example <c>labels[3, 7]</c>.</param>
    /// <param name="label">Its value.</param>
    /// <param name="vocabulary">Vocabulary size V.</param>
    /// <param name="ignoreIndex">The label of rows that count for nothing.</param>
    /// <returns>The exception, to be thrown.</returns>
    public static ArgumentOutOfRangeException OutOfRange(
        string parameter,
        string position,
        long label,
        long vocabulary,
        long ignoreIndex) => new(
        parameter,
        Invariant($"{position} is {label}, which is neither in [0, {vocabulary}) nor the ignore index {ignoreIndex}."));
}
