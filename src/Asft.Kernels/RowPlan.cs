namespace Asft.Kernels;

/// <summary>
/// One call of a kernel: what it works on, and what follows from that, decided once for every backend. To make a plan is to check the
/// call, short of the labels' values and before any work, as a null or an element type that a kernel takes for another would be read or
/// written as memory.
/// </summary>
internal readonly unsafe struct RowPlan
{
    /// <summary>Logits, labels and the objective.</summary>
    public readonly TokenProblem Problem;

    /// <summary>Where outputs go or, backward, where an earlier call saved them.</summary>
    public readonly TokenOutputs Outputs;

    /// <summary>Where the gradient goes, if there is one.</summary>
    public readonly TokenGradient Gradient;

    /// <summary>Whether the gradient is made from saved outputs.</summary>
    public readonly bool IsBackward;

    /// <summary>Whether no more is wanted than the states of the rows.</summary>
    public readonly bool IsSummary;

    /// <summary>Whether the gradient is made of what a summary kept; it knows of the reference what that did.</summary>
    public readonly bool Resumes;

    /// <summary>Whether the reference is its most likely entries, and something is made of them.</summary>
    public readonly bool IsTopK;

    /// <summary>Whether the terms of the entropy are summed.</summary>
    public readonly bool HasEntropy;

    /// <summary>Whether somebody asks for the sum of squares, which comes with an entropy.</summary>
    public readonly bool HasSquares;

    /// <summary>V, of which the rows may be a shard.</summary>
    public readonly long Vocabulary;

    /// <summary>Float32 or Float64: of the arithmetic, the outputs and the upstream gradient.</summary>
    public readonly ElementType Arithmetic;

    /// <summary>What the states of the rows know of the reference.</summary>
    public readonly ReferenceUse Use;

    /// <summary>What the gradient takes of it: nothing of a divergence that is only looked at.</summary>
    public readonly ReferenceUse GradientUse;

    private RowPlan(
        in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient, bool isBackward = false, bool isSummary = false, bool resumes = false)
    {
        CheckProblem(problem);
        CheckGradient(problem, gradient, isBackward);
        CheckReference(problem);
        LossObjective objective = problem.Objective;
        bool divergence = objective.KlWeight > 0;
        bool ratio = objective.Weighting == TokenWeighting.ImportanceRatio;
        bool has = HasReference(problem);
        if (problem.Rows > 0 && !has && (divergence || (ratio && !isBackward)))
        {
            throw new ArgumentException("The objective needs a reference, and there is none: Reference is null.", nameof(problem));
        }

        Problem = problem;
        Outputs = outputs;
        Gradient = gradient;
        IsBackward = isBackward;
        IsSummary = isSummary;
        Resumes = resumes;
        Vocabulary = WholeVocabularyOf(problem);
        Arithmetic = problem.Logits.Type.Arithmetic();
        ReferenceUse kl = objective.KlEstimator != KlEstimator.Exact ? ReferenceUse.Sum
            : objective.KlDirection == KlDirection.Forward ? ReferenceUse.ForwardKl : ReferenceUse.ReverseKl;
        bool asked = (!isBackward || resumes) && has;
        bool asksAll = isSummary || resumes;
        bool asksKl = asked && (outputs.Kl != null || asksAll) && (kl == ReferenceUse.Sum ? problem.TopK.Count == 0 : problem.LabelLogProbabilities == null);
        bool asksLabel = asked && (outputs.ReferenceLogProbability != null || asksAll) && problem.TopK.Count == 0;
        Use = divergence || asksKl ? kl : ratio || asksLabel ? ReferenceUse.Sum : ReferenceUse.None;
        GradientUse = divergence && kl != ReferenceUse.Sum ? kl : ReferenceUse.None;
        IsTopK = problem.TopK.Count > 0 && Use != ReferenceUse.None;
        HasSquares = !isBackward && ((isSummary && !problem.OmitsMetrics) || outputs.SquaredProbabilitySum != null);
        HasEntropy = HasSquares || objective.Weighting == TokenWeighting.Entropy || (!isBackward && outputs.Entropy != null);
    }

    /// <summary>What is read of the reference's logits.</summary>
    public ReferenceUse Reads => Problem.Reference.IsNull ? ReferenceUse.None : IsBackward && !Resumes ? GradientUse : Use;

    /// <summary>Whether a row's results follow from its own logits and label, and no state of it is wanted for its own sake.</summary>
    public bool IsSelfContained => Use == ReferenceUse.None && !IsSummary && Problem.GivenWeights == null;

    /// <summary>Entries of a row's top-k reference; 0 where nothing is made of one.</summary>
    public int EntryCount => IsTopK ? Problem.TopK.Count : 0;

    /// <summary>Whether a gradient is wanted.</summary>
    public bool HasGradient => !Gradient.Logits.IsNull;

    /// <summary>Whether there is label smoothing.</summary>
    public bool HasSmoothing => Problem.Objective.LabelSmoothing > 0;

    /// <summary>Whether there is a softcap.</summary>
    public bool HasSoftcap => Problem.Objective.LogitSoftcap > 0;

    /// <summary>Whether the rows are a part of the vocabulary's columns.</summary>
    public bool IsShard => Problem.Vocabulary != Vocabulary;

    /// <summary>A call of <see cref="ITokenLossKernel.Forward"/>.</summary>
    /// <exception cref="ArgumentException">Something is missing, the rows are a shard, or the gradient's type is not that of the logits.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There are less than 0 rows or less than 1 logit in each.</exception>
    public static RowPlan Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient)
    {
        var plan = new RowPlan(problem, outputs, gradient);
        return !plan.IsShard ? plan : throw new ArgumentException(
            Invariant($"The rows are a shard, {problem.Vocabulary} of {plan.Vocabulary} logits: Summarize, Merge and Finish give its loss."),
            nameof(problem));
    }

    /// <summary>A call of <see cref="ITokenLossKernel.Summarize"/>.</summary>
    /// <exception cref="ArgumentException">Something is missing.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There are less than 0 rows or less than 1 logit in each, or the shard is not within the vocabulary.</exception>
    public static RowPlan Summarize(in TokenProblem problem, RowState* states, in TokenGradient gradient = default)
    {
        CheckStates(problem, states, nameof(states));
        return new(problem, new TokenOutputs { State = states }, gradient, isSummary: true);
    }

    /// <summary>A call of <see cref="ITokenLossKernel.Merge"/>.</summary>
    /// <exception cref="ArgumentException">Something is missing.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There are less than 0 rows or less than 1 logit in each, or the shard is not within the vocabulary.</exception>
    public static RowPlan Merge(in TokenProblem problem, RowState* states, RowState* others)
    {
        CheckStates(problem, others, nameof(others));
        return Summarize(problem, states);
    }

    /// <summary>A call of <see cref="ITokenLossKernel.Finish"/>.</summary>
    /// <exception cref="ArgumentException">Something is missing.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There are less than 0 rows or less than 1 logit in each, or the shard is not within the vocabulary.</exception>
    public static RowPlan Finish(in TokenProblem problem, in TokenOutputs outputs)
    {
        CheckStates(problem, outputs.State, nameof(outputs));
        return new(problem, outputs, default);
    }

    /// <summary>A call of <see cref="ITokenLossKernel.Backward"/>. Which outputs must be saved, the kernel says with <see cref="CheckSaved"/>.</summary>
    /// <param name="problem">The rows.</param>
    /// <param name="saved">Their outputs.</param>
    /// <param name="gradient">Where the gradient goes.</param>
    /// <param name="resumes">See <see cref="Resumes"/>.</param>
    /// <exception cref="ArgumentException">Something is missing, or the gradient's type is not that of the logits.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There are less than 0 rows or less than 1 logit in each.</exception>
    public static RowPlan Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient, bool resumes = false) =>
        new(problem, saved, gradient, isBackward: true, resumes: resumes);

    /// <summary>Checks that an earlier call saved what the gradient is made from.</summary>
    /// <param name="saved">The saved output.</param>
    /// <param name="name">Its name in <see cref="TokenOutputs"/>.</param>
    /// <exception cref="ArgumentException">It is null, and there are rows.</exception>
    public void CheckSaved(void* saved, string name)
    {
        if (saved == null && Problem.Rows > 0)
        {
            throw new ArgumentException($"The gradient needs the saved {name}, which is null.", nameof(saved));
        }
    }

    /// <summary>Checks a call of <see cref="ITokenLossKernel.Rescale"/>.</summary>
    /// <exception cref="ArgumentException">There is no gradient.</exception>
    public static void CheckRescale(in TokenGradient gradient)
    {
        if (gradient.Logits.IsNull)
        {
            throw new ArgumentException("There is no gradient to scale: Logits is null.", nameof(gradient));
        }
    }

    /// <summary>Checks a number of rows.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is below 0.</exception>
    public static void CheckRows(long rows, string name)
    {
        if (rows < 0)
        {
            throw OutOfRange.Of(name, rows, "at least 0");
        }
    }

    /// <summary>Whether a row is computed: its label is not the ignore index, and the caller's factor is not 0.</summary>
    public bool Counts(long row) => Counts(Problem.Labels, Problem.Objective.IgnoreIndex, Problem.Weights, Arithmetic, row);

    /// <summary>The same for what has no plan: by labels and, where there are any, the caller's factors.</summary>
    public static bool Counts(long* labels, long ignoreIndex, void* weights, ElementType arithmetic, long row) =>
        labels[row] != ignoreIndex && WeightOf(weights, arithmetic, row) != 0;

    /// <summary>The caller's factor u.</summary>
    public double WeightOf(long row) => WeightOf(Problem.Weights, Arithmetic, row);

    /// <summary>What follows from a row's state.</summary>
    public TokenResult ResultOf(long row, in RowState state) => new(
        Problem.Objective,
        state,
        Use,
        Vocabulary,
        IsTopK,
        Problem.GivenWeights == null ? null : ScalarElement.Read(Problem.GivenWeights, Arithmetic, row));

    /// <summary>Writes a row's results, those that are asked for.</summary>
    public void Write(long row, in RowState state, in TokenResult result)
    {
        Outputs.Write(Arithmetic, row, new TokenMetrics(
            WeightOf(row) * result.Loss,
            result.LogProbability,
            result.Weight,
            result.Kl,
            result.LogSumExp,
            result.ReferenceLogSumExp,
            result.Entropy,
            result.SquaredProbabilitySum,
            result.ReferenceLogProbability,
            state.Predicted));
        if (Outputs.State != null)
        {
            Outputs.State[row] = state;
        }
    }

    /// <summary>The state with what is known of the reference without its logits: its log-probability of the label, in the shard that has it.</summary>
    public RowState WithLabelReference(long row, in RowState state)
    {
        if (Use != ReferenceUse.Sum || Problem.LabelLogProbabilities == null || !HasLabel(row))
        {
            return state;
        }

        double log = ScalarElement.Read(Problem.LabelLogProbabilities, Arithmetic, row);
        return state with { ReferenceSum = 1, ReferenceLabel = log / TokenResult.FactorOf(Problem.Objective) };
    }

    /// <summary>Where in a row its label is; another shard has it where that is not in <c>[0, Problem.Vocabulary)</c>.</summary>
    public long LabelOf(long row) => Problem.Labels[row] - Problem.FirstColumn;

    /// <summary>Whether a row's label is in this shard.</summary>
    public bool HasLabel(long row) => (ulong)LabelOf(row) < (ulong)Problem.Vocabulary;

    /// <summary>What a row's gradient is multiplied with, its upstream gradient and the caller's factor included.</summary>
    public double ScaleOf(long row) => WeightOf(row) * UpstreamOf(row);

    /// <summary>The same without the caller's factor.</summary>
    public double UpstreamOf(long row) => Gradient.Upstream == null
        ? Gradient.Scale
        : Gradient.Scale * ScalarElement.Read(Gradient.Upstream, Arithmetic, row * Gradient.UpstreamStride);

    /// <summary><see cref="TokenResult.SlopeOf"/> the logit of a row's label; 1 where another shard has it.</summary>
    public double LabelSlope(long row) => !HasLabel(row) ? 1 : TokenResult.SlopeOf(
        Problem.Objective, ScalarElement.Read(Problem.Logits.Row(row), Problem.Logits.Type, LabelOf(row)));

    private static void CheckStates(in TokenProblem problem, RowState* states, string parameter)
    {
        if (states == null && problem.Rows > 0)
        {
            throw new ArgumentException(Invariant($"There are no states; there must be one for each of {problem.Rows} rows."), parameter);
        }
    }

    private static void CheckProblem(in TokenProblem problem)
    {
        if (problem.Objective is null)
        {
            throw new ArgumentException("Objective is null.", nameof(problem));
        }

        if (problem.Rows < 0)
        {
            throw new ArgumentOutOfRangeException(nameof(problem), Invariant($"Rows must be at least 0; got {problem.Rows}."));
        }

        if (problem.Vocabulary < 1)
        {
            throw new ArgumentOutOfRangeException(nameof(problem), Invariant($"Vocabulary must be at least 1; got {problem.Vocabulary}."));
        }

        long whole = WholeVocabularyOf(problem);
        if (problem.FirstColumn < 0 || problem.FirstColumn > whole - problem.Vocabulary)
        {
            throw new ArgumentOutOfRangeException(nameof(problem), Invariant(
                $"Columns [{problem.FirstColumn}, {problem.FirstColumn + problem.Vocabulary}) are not within a vocabulary of {whole}."));
        }

        if (problem.Rows > 0 && problem.Labels == null)
        {
            throw new ArgumentException(Invariant($"Labels is null; there must be one for each of {problem.Rows} rows."), nameof(problem));
        }

        if (problem.Rows > 0 && problem.Logits.IsNull)
        {
            throw new ArgumentException(Invariant($"Logits is null; there must be {problem.Rows} rows of {problem.Vocabulary}."), nameof(problem));
        }

        CheckType(problem.Logits.Type, nameof(problem.Logits), nameof(problem));
        CheckType(problem.Reference.Type, nameof(problem.Reference), nameof(problem));
        problem.Objective.CheckFits(problem.Logits.Type);
    }

    private static double WeightOf(void* weights, ElementType arithmetic, long row) =>
        weights == null ? 1 : ScalarElement.Read(weights, arithmetic, row);

    private static long WholeVocabularyOf(in TokenProblem problem) =>
        problem.WholeVocabulary == 0 ? problem.Vocabulary : problem.WholeVocabulary;

    private static bool HasReference(in TokenProblem problem) =>
        !problem.Reference.IsNull || problem.LabelLogProbabilities != null || problem.TopK.Count > 0;

    /// <summary>There is one reference at most, and it tells what the objective asks of it.</summary>
    private static void CheckReference(in TokenProblem problem)
    {
        int kinds = (problem.Reference.IsNull ? 0 : 1) + (problem.LabelLogProbabilities == null ? 0 : 1) + (problem.TopK.Count == 0 ? 0 : 1);
        if (kinds > 1)
        {
            throw new ArgumentException("There is more than one of Reference, LabelLogProbabilities and TopK.", nameof(problem));
        }

        TopKReference topK = problem.TopK;
        if (topK.Count < 0 || (topK.Count > 0 && problem.Rows > 0 && (topK.Indices == null || topK.LogProbabilities == null)))
        {
            throw new ArgumentException(Invariant($"TopK has {topK.Count} entries per row, and its indices or log-probabilities are missing."), nameof(problem));
        }

        if (problem.Objective.ReferenceRefusal(problem.LabelLogProbabilities != null, topK.Count > 0) is { } refusal)
        {
            throw new ArgumentException(refusal, nameof(problem));
        }
    }

    private static void CheckType(ElementType type, string name, string parameter)
    {
        if (!Enum.IsDefined(type))
        {
            throw new ArgumentException(Invariant($"{name} has the element type {(int)type}, which is none."), parameter);
        }
    }

    private static void CheckGradient(in TokenProblem problem, in TokenGradient gradient, bool isBackward)
    {
        if (!gradient.Logits.IsNull && gradient.Logits.Type != problem.Logits.Type)
        {
            throw new ArgumentException(
                $"The gradient is {gradient.Logits.Type}; it must be stored like the policy logits, {problem.Logits.Type}.", nameof(gradient));
        }

        if (gradient.UpstreamStride is not (0 or 1))
        {
            throw new ArgumentException(Invariant($"UpstreamStride must be 0 or 1; got {gradient.UpstreamStride}."), nameof(gradient));
        }

        if (isBackward && problem.Rows > 0 && gradient.Logits.IsNull)
        {
            throw new ArgumentException("There is no place for the gradient: Logits is null.", nameof(gradient));
        }
    }
}
