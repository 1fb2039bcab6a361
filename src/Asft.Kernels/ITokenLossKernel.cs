namespace Asft.Kernels;

/// <summary>
/// The one seam that every backend implements: rows of logits in, one loss per token out and, when asked, the gradient, and the
/// reductions around it. All pointers are to the memory of the kernel's device. May be called from several threads at once.
/// </summary>
/// <remarks>
/// <see cref="Forward"/> is <see cref="Summarize"/>, <see cref="Finish"/> and <see cref="Backward"/> in one pass. Apart, they leave room for
/// <see cref="Merge"/> between the first two: rows then may be shards of a vocabulary, wherever the others are.
/// The result of a row depends on that row alone, never on the number of threads, so the same input gives the same bits.
/// Accumulation, and the element type of <see cref="TokenOutputs"/>, is float32, or float64 when the logits are float64.
/// </remarks>
public unsafe interface ITokenLossKernel
{
    /// <summary>What runs, for people: for example <c>CPU (512-bit SIMD)</c>.</summary>
    string Name { get; }

    /// <summary>
    /// Whether the memory is a device's, which the host cannot read without waiting: calls then happen there in their order, and none
    /// waits. A label that is neither in <c>[0, V)</c> nor the ignore index does not throw where it is found: its row becomes NaN, and
    /// the exception comes from <see cref="ThrowIfFaulted"/>, and from no other member.
    /// </summary>
    bool IsAsynchronous { get; }

    /// <summary>
    /// Computes the outputs of every row and, when <see cref="TokenGradient.Logits"/> is given, the gradient that
    /// <see cref="TokenGradient"/> describes, in the same pass.
    /// </summary>
    /// <param name="problem">Logits, labels and the objective.</param>
    /// <param name="outputs">Per-token results; null pointers are not computed.</param>
    /// <param name="gradient">Where the gradient goes; <c>default</c> for none. May be the policy logits themselves.</param>
    /// <exception cref="ArgumentOutOfRangeException">
    /// A label is neither in <c>[0, V)</c> nor <c>IgnoreIndex</c> (not if <see cref="IsAsynchronous"/>), or there are less than 0 rows or
    /// less than 1 logit in each; nothing was written.
    /// </exception>
    /// <exception cref="ArgumentException">The reference that the objective needs, the labels or the logits are missing, or the gradient is not stored like the logits.</exception>
    /// <exception cref="OutOfMemoryException">There is no memory to work in. Rows may have been written already.</exception>
    void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient);

    /// <summary>
    /// Reads the logits, which may be a shard of the vocabulary, and writes what is known of each row then. With a reference, its divergence in
    /// the direction of the objective is part of that; leave it out where the objective needs none and nobody will look at it.
    /// </summary>
    /// <param name="problem">Logits, labels and the objective.</param>
    /// <param name="states">One element per row. A row that is ignored gets the state of no logits.</param>
    /// <param name="gradient">
    /// The gradient that the next <see cref="Backward"/> of these rows will be asked for, if that is known, with its <see cref="TokenGradient.Kept"/>:
    /// a kernel may keep there, and in the gradient's place, what spares that call the exponentials. The place, be it the logits' own, has no
    /// meaning until then. <c>default</c>, or no <c>Kept</c>: nothing is kept. Scale and upstream are not read.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException">As for <see cref="Forward"/>, or the shard is not within the vocabulary.</exception>
    /// <exception cref="ArgumentException">The reference that the objective needs, the labels, the logits or the states are missing.</exception>
    /// <exception cref="OutOfMemoryException">There is no memory to work in. Rows may have been written already.</exception>
    void Summarize(in TokenProblem problem, RowState* states, in TokenGradient gradient = default);

    /// <summary>
    /// Adds the states of other columns of the same rows. Merging the same states in the same order gives the same bits.
    /// </summary>
    /// <param name="problem">The objective, the number of rows, and whether there is a reference; no logit is read.</param>
    /// <param name="states">One element per row, which becomes the state of both parts.</param>
    /// <param name="others">One element per row, of columns that are not in <paramref name="states"/>.</param>
    /// <exception cref="ArgumentException">One of the states is missing.</exception>
    void Merge(in TokenProblem problem, RowState* states, RowState* others);

    /// <summary>Computes the outputs of every row from the states of all its columns, <see cref="TokenOutputs.State"/>.</summary>
    /// <param name="problem">The problem that <see cref="Summarize"/> was given; of its logits none is read.</param>
    /// <param name="outputs">The merged states, and where the results go; null pointers are not computed.</param>
    /// <exception cref="ArgumentException">The states, or the reference that the objective needs, are missing.</exception>
    /// <exception cref="ArgumentOutOfRangeException">As for <see cref="Forward"/>.</exception>
    void Finish(in TokenProblem problem, in TokenOutputs outputs);

    /// <summary>
    /// Computes the gradient alone, from logits that are still intact and the outputs that <see cref="Forward"/> saved, for an upstream
    /// gradient known only now. Reads <see cref="TokenOutputs.State"/> of <paramref name="saved"/>.
    /// </summary>
    /// <param name="problem">The same problem that <see cref="Forward"/> or <see cref="Summarize"/> was given.</param>
    /// <param name="saved">The outputs of that call, or of <see cref="Finish"/>.</param>
    /// <param name="gradient">Where the gradient goes, that of a shard for its own columns. May be the policy logits themselves.</param>
    /// <exception cref="ArgumentException">
    /// What <see cref="Forward"/> would refuse, or the place for the gradient or one of the saved outputs is missing, or its
    /// <see cref="TokenGradient.Kept"/> is not of these rows.
    /// </exception>
    /// <exception cref="OutOfMemoryException">There is no memory to work in. Rows may have been written already.</exception>
    void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient);

    /// <summary>
    /// As <see cref="Backward"/>, unless <paramref name="unlessOne"/>, a scalar, is 1: then nothing is read or written, as the gradient is
    /// there already.
    /// </summary>
    /// <param name="problem">The same problem that <see cref="Forward"/> was given.</param>
    /// <param name="saved">The outputs of that call.</param>
    /// <param name="gradient">Where the gradient goes.</param>
    /// <param name="unlessOne">One element, float32, or float64 when the logits are float64; null for a gradient in any case.</param>
    /// <exception cref="ArgumentException">As for <see cref="Backward"/>.</exception>
    void BackwardUnlessOne(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient, void* unlessOne);

    /// <summary>
    /// Multiplies a finished gradient by <see cref="TokenGradient.Upstream"/>, a scalar; where that is 1, nothing is read or written.
    /// Rows that are ignored stay 0 even where it is infinite.
    /// </summary>
    /// <param name="problem">Only <c>Objective.IgnoreIndex</c>, <c>Rows</c>, <c>Vocabulary</c> and <c>Labels</c> are read.</param>
    /// <param name="gradient">The gradient; its <c>Scale</c> is not used.</param>
    /// <exception cref="ArgumentException">The gradient is missing.</exception>
    void Rescale(in TokenProblem problem, in TokenGradient gradient);

    /// <summary>Counts the labels that are not ignored, and derives the factor that makes a sum over tokens the wanted reduction.</summary>
    /// <param name="count">What to count, and where the results go.</param>
    void Count(in TokenCounting count);

    /// <summary>Adds up token losses in float64, in an order that depends on their number alone, and multiplies by the factor.</summary>
    /// <param name="losses">One per row.</param>
    /// <param name="rows">How many, at least 0.</param>
    /// <param name="type">Float32 or Float64: of the losses and, if <see cref="IsAsynchronous"/>, of the factor and the total. In host memory those are float64.</param>
    /// <param name="factor">One element; null for 1.</param>
    /// <param name="total">One element, which becomes the loss.</param>
    void Total(void* losses, long rows, ElementType type, void* factor, void* total);

    /// <summary>Throws for a fault that the device has recorded by now, once for each; does not wait for it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An earlier call met a label out of range; the message names its row and value.</exception>
    void ThrowIfFaulted();
}

/// <summary>What <see cref="ITokenLossKernel.Count"/> counts.</summary>
public readonly unsafe struct TokenCounting
{
    /// <summary>One int64 label per row, contiguous.</summary>
    public required long* Labels { get; init; }

    /// <summary>Number of rows, at least 0.</summary>
    public required long Rows { get; init; }

    /// <summary>The label of rows that count for nothing.</summary>
    public required long IgnoreIndex { get; init; }

    /// <summary>Whether the reduction is a mean: the factor is 1/denominator then, 1 otherwise, and 1 where no token counts.</summary>
    public bool IsMean { get; init; }

    /// <summary>float64: the denominator that the caller gave; null for the number of counted tokens. One that is not finite and above 0 makes the factor NaN.</summary>
    public double* Denominator { get; init; }

    /// <summary>Float32 or Float64: of <see cref="Factor"/>.</summary>
    public ElementType Type { get; init; }

    /// <summary>One element: the number of counted tokens.</summary>
    public required long* Counted { get; init; }

    /// <summary>One element: the factor. May be null in host memory.</summary>
    public void* Factor { get; init; }
}

/// <summary>What a kernel works on.</summary>
public readonly unsafe struct TokenProblem
{
    /// <summary>The objective.</summary>
    public required LossObjective Objective { get; init; }

    /// <summary>Number of rows, one per token, at least 0.</summary>
    public required long Rows { get; init; }

    /// <summary>Number of logits in a row, at least 1: the vocabulary size V, or that of a shard.</summary>
    public required long Vocabulary { get; init; }

    /// <summary>
    /// Where the rows are a shard of the vocabulary, the size of all of it; 0 for <see cref="Vocabulary"/>. Labels, and
    /// <see cref="TokenOutputs.Predicted"/>, are indices in the whole.
    /// </summary>
    public long WholeVocabulary { get; init; }

    /// <summary>Where the rows are a shard, the index of their first logit in the whole vocabulary.</summary>
    public long FirstColumn { get; init; }

    /// <summary>
    /// Whether <see cref="ITokenLossKernel.Summarize"/> may leave out what nobody will ask the states for but metrics: the largest logit and, unless
    /// the objective weighs with it, the sums of an entropy, about a third of what it does in host memory.
    /// </summary>
    public bool OmitsMetrics { get; init; }

    /// <summary>Policy logits.</summary>
    public required LogitMatrix Logits { get; init; }

    /// <summary>
    /// Reference logits; <c>default</c> when there are none. They are read only when the objective needs them or when
    /// <see cref="TokenOutputs.Kl"/> is asked for.
    /// </summary>
    public LogitMatrix Reference { get; init; }

    /// <summary>
    /// In place of <see cref="Reference"/>, one log-probability of its label per row, <c>lq[y]</c>, in the type of the arithmetic: for importance
    /// ratios and the estimators of a divergence.
    /// </summary>
    public void* LabelLogProbabilities { get; init; }

    /// <summary>In place of <see cref="Reference"/>, its most likely entries; <c>default</c> when there are none.</summary>
    public TopKReference TopK { get; init; }

    /// <summary>One label per row.</summary>
    public required long* Labels { get; init; }

    /// <summary>
    /// The caller's factor u of each row's loss, in the type of the arithmetic; null for 1. A constant for differentiation. A row of factor 0 is
    /// not read.
    /// </summary>
    public void* Weights { get; init; }

    /// <summary>
    /// Weights w of the negative log-likelihood in place of the objective's, before its bounds, in the type of the arithmetic; null for those.
    /// </summary>
    public void* GivenWeights { get; init; }
}

/// <summary>The K most likely entries of a reference in each row, as inference servers return them; K elements per row, contiguous.</summary>
public readonly unsafe struct TopKReference
{
    /// <summary>Indices in the whole vocabulary, each once in a row.</summary>
    public required long* Indices { get; init; }

    /// <summary>Log-probabilities in the type of the arithmetic, in nats.</summary>
    public required void* LogProbabilities { get; init; }

    /// <summary>K, at least 1.</summary>
    public required int Count { get; init; }
}

/// <summary>
/// Per-token results, each an array with one element per row or null. The floating-point ones are float32, or float64 when the
/// logits are float64. A row whose label is <c>IgnoreIndex</c> gets 0 everywhere and -1 in <see cref="Predicted"/>.
/// </summary>
public readonly unsafe struct TokenOutputs
{
    /// <summary>The token loss: <c>u*(NllWeight*w*nll + KlWeight*kl + ZLossWeight*lse²)</c>.</summary>
    public void* Loss { get; init; }

    /// <summary>Log-probability of the label under the policy, <c>lp[y]</c>.</summary>
    public void* LogProbability { get; init; }

    /// <summary>The weight w of the negative log-likelihood.</summary>
    public void* Weight { get; init; }

    /// <summary>KL divergence, as the objective says; never negative but for <see cref="KlEstimator.K1"/>.</summary>
    public void* Kl { get; init; }

    /// <summary>Log-sum-exp of the policy's (scaled, capped) logits.</summary>
    public void* LogSumExp { get; init; }

    /// <summary>Log-sum-exp of the reference's (scaled, capped) logits.</summary>
    public void* ReferenceLogSumExp { get; init; }

    /// <summary>The policy's entropy, in nats.</summary>
    public void* Entropy { get; init; }

    /// <summary><c>sum p²</c> of the policy.</summary>
    public void* SquaredProbabilitySum { get; init; }

    /// <summary>Log-probability of the label under the reference, <c>lq[y]</c>.</summary>
    public void* ReferenceLogProbability { get; init; }

    /// <summary>int64: the index of the largest policy logit, the first of equals; -1 for an ignored row or one whose log-sum-exp is NaN.</summary>
    public long* Predicted { get; init; }

    /// <summary>What <see cref="ITokenLossKernel.Backward"/> needs of each row; its size is that of <see cref="RowState"/>.</summary>
    public RowState* State { get; init; }

    /// <summary>Writes a row's results, those that are asked for, rounded once; <see cref="Predicted"/> is -1 where the log-sum-exp is NaN.</summary>
    internal void Write(ElementType type, long row, in TokenMetrics metrics)
    {
        if (type == ElementType.Float64)
        {
            Write((double*)Loss, row, metrics.Loss);
            Write((double*)LogProbability, row, metrics.LogProbability);
            Write((double*)Weight, row, metrics.Weight);
            Write((double*)Kl, row, metrics.Kl);
            Write((double*)LogSumExp, row, metrics.LogSumExp);
            Write((double*)ReferenceLogSumExp, row, metrics.ReferenceLogSumExp);
            Write((double*)Entropy, row, metrics.Entropy);
            Write((double*)SquaredProbabilitySum, row, metrics.SquaredProbabilitySum);
            Write((double*)ReferenceLogProbability, row, metrics.ReferenceLogProbability);
        }
        else
        {
            Write((float*)Loss, row, (float)metrics.Loss);
            Write((float*)LogProbability, row, (float)metrics.LogProbability);
            Write((float*)Weight, row, (float)metrics.Weight);
            Write((float*)Kl, row, (float)metrics.Kl);
            Write((float*)LogSumExp, row, (float)metrics.LogSumExp);
            Write((float*)ReferenceLogSumExp, row, (float)metrics.ReferenceLogSumExp);
            Write((float*)Entropy, row, (float)metrics.Entropy);
            Write((float*)SquaredProbabilitySum, row, (float)metrics.SquaredProbabilitySum);
            Write((float*)ReferenceLogProbability, row, (float)metrics.ReferenceLogProbability);
        }

        Write(Predicted, row, double.IsNaN(metrics.LogSumExp) ? -1 : metrics.Predicted);
    }

    /// <summary>Writes the results of a row that is not computed: 0 where it counts for nothing.</summary>
    internal void WriteUncounted(ElementType type, long row, double value = 0)
    {
        Write(type, row, new TokenMetrics(value, value, value, value, value, value, value, value, value, -1));
        if (State != null)
        {
            State[row] = new RowState { Max = value, Sum = value };
        }
    }

    private static void Write<T>(T* results, long row, T value)
        where T : unmanaged
    {
        if (results != null)
        {
            results[row] = value;
        }
    }
}

/// <summary>The results of a row, in double; the names are those of <see cref="TokenOutputs"/>.</summary>
internal readonly record struct TokenMetrics(
    double Loss,
    double LogProbability,
    double Weight,
    double Kl,
    double LogSumExp,
    double ReferenceLogSumExp,
    double Entropy,
    double SquaredProbabilitySum,
    double ReferenceLogProbability,
    long Predicted);

/// <summary>The gradient that a kernel is asked for: of <c>Scale * Upstream[row] * token loss</c> with respect to the policy logits.</summary>
public readonly unsafe struct TokenGradient
{
    /// <summary>Where it is written, in the element type of the policy logits. Rows that are ignored become 0.</summary>
    public LogitMatrix Logits { get; init; }

    /// <summary>A factor for every row, for example 1/tokens for a mean. Ignored rows stay 0 whatever it is.</summary>
    public double Scale { get; init; }

    /// <summary>
    /// A further factor for each row (float32, or float64 when the logits are float64), or null for 1. Row <c>i</c> takes element
    /// <c>i*UpstreamStride</c>.
    /// </summary>
    public void* Upstream { get; init; }

    /// <summary>1 when <see cref="Upstream"/> has one element per row, 0 when it is one scalar for all.</summary>
    public int UpstreamStride { get; init; }

    /// <summary>
    /// What <see cref="ITokenLossKernel.Summarize"/> keeps of the rows for the one <see cref="ITokenLossKernel.Backward"/> of the same rows, of the same
    /// kernel, that follows; null for nothing. In host memory the gradient then takes half as long. Other kernels have no use for it.
    /// </summary>
    public KeptExponentials? Kept { get; init; }
}
