namespace Asft.Kernels;

/// <summary>
/// A kernel for memory that the host cannot read without waiting for the device. What the host would do itself with labels, token
/// losses and the upstream gradient happens on the device too, in the order of the calls, and no call waits for it.
/// </summary>
/// <remarks>
/// All pointers are to device memory. A label that is neither in <c>[0, V)</c> nor the ignore index does not throw when it is found:
/// its row becomes NaN, and the exception comes from the next call of any member, or of <see cref="ThrowIfFaulted"/>, that finds
/// the device to have got so far.
/// </remarks>
public unsafe interface IDeviceTokenLossKernel : ITokenLossKernel
{
    /// <summary>
    /// Counts the labels that are not ignored, and derives the factor that makes a sum over tokens the wanted reduction.
    /// </summary>
    /// <param name="count">What to count, and where the results go.</param>
    void Count(in TokenCounting count);

    /// <summary>Adds up token losses in float64, in an order that depends on their number alone, and multiplies by the factor.</summary>
    /// <param name="losses">float32, or float64 for <paramref name="type"/> Float64; one per row.</param>
    /// <param name="rows">How many, at least 0.</param>
    /// <param name="type">Float32 or Float64: of the losses, the factor and the total.</param>
    /// <param name="factor">One element, as <see cref="Count"/> writes it; null for 1.</param>
    /// <param name="total">One element, which becomes the loss.</param>
    void Total(void* losses, long rows, ElementType type, void* factor, void* total);

    /// <summary>
    /// Multiplies a finished gradient by <see cref="TokenGradient.Upstream"/>, a scalar; where that is 1, nothing is read or written.
    /// Rows that are ignored stay 0 even where it is infinite.
    /// </summary>
    /// <param name="problem">Only <c>Objective.IgnoreIndex</c>, <c>Rows</c>, <c>Vocabulary</c> and <c>Labels</c> are read.</param>
    /// <param name="gradient">The gradient; its <c>Scale</c> is not used.</param>
    void Rescale(in TokenProblem problem, in TokenGradient gradient);

    /// <summary>
    /// As <see cref="ITokenLossKernel.Backward"/>, unless <paramref name="unlessOne"/>, a scalar in device memory, is 1: then nothing is read or written,
    /// as the gradient is there already.
    /// </summary>
    /// <param name="problem">The same problem that <see cref="ITokenLossKernel.Forward"/> was given.</param>
    /// <param name="saved">The outputs of that call.</param>
    /// <param name="gradient">Where the gradient goes.</param>
    /// <param name="unlessOne">One element, float32, or float64 when the logits are float64.</param>
    void BackwardUnlessOne(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient, void* unlessOne);

    /// <summary>Throws for a fault that the device has recorded by now; does not wait for it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A label was out of range; the message names its row and value.</exception>
    void ThrowIfFaulted();
}

/// <summary>What <see cref="IDeviceTokenLossKernel.Count"/> counts.</summary>
public readonly unsafe struct TokenCounting
{
    /// <summary>One int64 label per row, contiguous.</summary>
    public required long* Labels { get; init; }

    /// <summary>Number of rows, at least 0.</summary>
    public required long Rows { get; init; }

    /// <summary>The label of rows that count for nothing.</summary>
    public required long IgnoreIndex { get; init; }

    /// <summary>Whether the reduction is a mean: the factor is 1/denominator then, 1 otherwise, and 1 where no token counts.</summary>
    public required bool IsMean { get; init; }

    /// <summary>float64: the denominator that the caller gave; null for the number of counted tokens. One that is not finite and above 0 makes the factor NaN.</summary>
    public double* Denominator { get; init; }

    /// <summary>Float32 or Float64: of <see cref="Factor"/>.</summary>
    public required ElementType Type { get; init; }

    /// <summary>One element: the number of counted tokens.</summary>
    public required long* Counted { get; init; }

    /// <summary>One element: the factor.</summary>
    public required void* Factor { get; init; }
}
