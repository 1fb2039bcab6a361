namespace Asft.Kernels;

/// <summary>A range of the rows of what a kernel is given, as if there were no others.</summary>
internal static unsafe class RowRange
{
    /// <summary>Rows of a problem.</summary>
    public static TokenProblem Part(this in TokenProblem problem, long first, long rows)
    {
        ElementType arithmetic = problem.Logits.Type.Arithmetic();
        TopKReference topK = problem.TopK;
        return problem with
        {
            Rows = rows,
            Logits = From(problem.Logits, first),
            Reference = From(problem.Reference, first),
            Labels = problem.Labels + first,
            Weights = From(problem.Weights, first, arithmetic),
            GivenWeights = From(problem.GivenWeights, first, arithmetic),
            LabelLogProbabilities = From(problem.LabelLogProbabilities, first, arithmetic),
            TopK = topK.Count == 0 ? topK : topK with
            {
                Indices = topK.Indices + (first * topK.Count),
                LogProbabilities = From(topK.LogProbabilities, first * topK.Count, arithmetic),
            },
        };
    }

    /// <summary>Places of results, from a row on.</summary>
    public static TokenOutputs From(this in TokenOutputs outputs, long first, ElementType arithmetic) => new()
    {
        Loss = From(outputs.Loss, first, arithmetic),
        LogProbability = From(outputs.LogProbability, first, arithmetic),
        Weight = From(outputs.Weight, first, arithmetic),
        Kl = From(outputs.Kl, first, arithmetic),
        LogSumExp = From(outputs.LogSumExp, first, arithmetic),
        ReferenceLogSumExp = From(outputs.ReferenceLogSumExp, first, arithmetic),
        Entropy = From(outputs.Entropy, first, arithmetic),
        SquaredProbabilitySum = From(outputs.SquaredProbabilitySum, first, arithmetic),
        ReferenceLogProbability = From(outputs.ReferenceLogProbability, first, arithmetic),
        Predicted = outputs.Predicted == null ? null : outputs.Predicted + first,
        State = outputs.State == null ? null : outputs.State + first,
    };

    /// <summary>A gradient, from a row on.</summary>
    public static TokenGradient From(this in TokenGradient gradient, long first, ElementType arithmetic) => gradient with
    {
        Logits = From(gradient.Logits, first),
        Upstream = From(gradient.Upstream, first * gradient.UpstreamStride, arithmetic),
    };

    private static LogitMatrix From(in LogitMatrix rows, long first) => rows.IsNull ? rows
        : rows.RowOffsets == null ? new LogitMatrix(rows.Row(first), rows.Type, rows.RowStride)
        : new LogitMatrix(rows.Data, rows.Type, rows.RowOffsets + first);

    private static void* From(void* values, long first, ElementType type) => values == null ? null : (byte*)values + (first * type.SizeInBytes());
}
