namespace Asft.Kernels;

/// <summary>
/// The one seam that every backend implements: rows of logits in, one loss per token out and, when asked, the gradient, and the
/// reductions around it. All pointers are to the memory of the kernel's device. May be called from several threads at once.
/// </summary>
/// <remarks>
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
    /// Computes the gradient alone, from logits that are still intact and the outputs that <see cref="Forward"/> saved, for an upstream
    /// gradient known only now. Reads <see cref="TokenOutputs.State"/> of <paramref name="saved"/>.
    /// </summary>
    /// <param name="problem">The same problem that <see cref="Forward"/> was given.</param>
    /// <param name="saved">The outputs of that call.</param>
    /// <param name="gradient">Where the gradient goes. May be the policy logits themselves.</param>
    /// <exception cref="ArgumentException">
    /// What <see cref="Forward"/> would refuse, or the place for the gradient or one of the saved outputs is missing.
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

    /// <summary>Vocabulary size V, at least 1.</summary>
    public required long Vocabulary { get; init; }

    /// <summary>Policy logits.</summary>
    public required LogitMatrix Logits { get; init; }

    /// <summary>
    /// Reference logits; <c>default</c> when there are none. They are read only when the objective needs them or when
    /// <see cref="TokenOutputs.Kl"/> is asked for.
    /// </summary>
    public LogitMatrix Reference { get; init; }

    /// <summary>One label per row.</summary>
    public required long* Labels { get; init; }
}

/// <summary>
/// Per-token results, each an array with one element per row or null. The floating-point ones are float32, or float64 when the
/// logits are float64. A row whose label is <c>IgnoreIndex</c> gets 0 everywhere and -1 in <see cref="Predicted"/>.
/// </summary>
public readonly unsafe struct TokenOutputs
{
    /// <summary>The token loss: <c>w*nll + KlWeight*kl + ZLossWeight*lse²</c>.</summary>
    public void* Loss { get; init; }

    /// <summary>Log-probability of the label under the policy, <c>lp[y]</c>.</summary>
    public void* LogProbability { get; init; }

    /// <summary>The weight w of the negative log-likelihood.</summary>
    public void* Weight { get; init; }

    /// <summary>KL divergence in the direction of the objective; never negative.</summary>
    public void* Kl { get; init; }

    /// <summary>Log-sum-exp of the policy's (scaled, capped) logits.</summary>
    public void* LogSumExp { get; init; }

    /// <summary>Log-sum-exp of the reference's (scaled, capped) logits.</summary>
    public void* ReferenceLogSumExp { get; init; }

    /// <summary>int64: the index of the largest policy logit, the first of equals; -1 for an ignored row or one whose log-sum-exp is NaN.</summary>
    public long* Predicted { get; init; }

    /// <summary>What <see cref="ITokenLossKernel.Backward"/> needs of each row; its size is that of <see cref="RowState"/>.</summary>
    public RowState* State { get; init; }

    /// <summary>Writes a row's results, those that are asked for, rounded once; <see cref="Predicted"/> is -1 where the log-sum-exp is NaN.</summary>
    /// <param name="type">Float32 or Float64.</param>
    /// <param name="row">Which row.</param>
    /// <param name="state">The row's state.</param>
    /// <param name="result">What follows from it.</param>
    /// <param name="predicted">Index of the largest policy logit.</param>
    internal void Write(ElementType type, long row, in RowState state, in TokenResult result, long predicted)
    {
        long index = double.IsNaN(result.LogSumExp) ? -1 : predicted;
        Write(type, row, result.Loss, result.LogProbability, result.Weight, result.Kl, result.LogSumExp, result.ReferenceLogSumExp, index);
        if (State != null)
        {
            State[row] = state;
        }
    }

    /// <summary>Writes the results of a row that is not computed: 0 where it counts for nothing.</summary>
    internal void WriteUncounted(ElementType type, long row, double value = 0)
    {
        Write(type, row, value, value, value, value, value, value, -1);
        if (State != null)
        {
            State[row] = new RowState { Max = value, Sum = value };
        }
    }

    /// <summary>Writes a row's results but for its state.</summary>
    internal void Write(
        ElementType type, long row, double loss, double logProbability, double weight, double kl, double lse, double referenceLse, long predicted)
    {
        if (type == ElementType.Float64)
        {
            Write((double*)Loss, row, loss);
            Write((double*)LogProbability, row, logProbability);
            Write((double*)Weight, row, weight);
            Write((double*)Kl, row, kl);
            Write((double*)LogSumExp, row, lse);
            Write((double*)ReferenceLogSumExp, row, referenceLse);
        }
        else
        {
            Write((float*)Loss, row, (float)loss);
            Write((float*)LogProbability, row, (float)logProbability);
            Write((float*)Weight, row, (float)weight);
            Write((float*)Kl, row, (float)kl);
            Write((float*)LogSumExp, row, (float)lse);
            Write((float*)ReferenceLogSumExp, row, (float)referenceLse);
        }

        Write(Predicted, row, predicted);
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
}
