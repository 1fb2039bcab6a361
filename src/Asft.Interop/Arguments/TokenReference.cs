using System.Diagnostics.CodeAnalysis;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// What the policy is anchored to: a frozen model's logits, the hidden states they are made from, or the little of them that was kept. A tensor
/// converts by itself, beside logits to <see cref="Logits"/> and beside hidden states to <see cref="Hidden(Tensor, Tensor, Tensor)"/>. Always a
/// constant for differentiation, even if it requires grad. It holds the tensors it is given; the caller's they remain, and <see cref="Dispose"/> is
/// for who has no other hold of them, as of a batch that a <see cref="ReferenceCache"/> has read.
/// </summary>
public abstract record TokenReference : IDisposable
{
    private protected TokenReference()
    {
    }

    /// <summary>The tensors that it holds, in the order of the arguments that it was made of; those that are not there are left out.</summary>
    public abstract IReadOnlyList<Tensor> Tensors { get; }

    /// <summary>Reference logits, for a loss on logits.</summary>
    /// <param name="logits">Logits <c>[..., V]</c> of the policy's shape; float32, bfloat16, float16 or float64, whatever the policy's are.</param>
    /// <returns>The reference.</returns>
    /// <exception cref="ArgumentNullException">The argument is null.</exception>
    public static TokenReference Logits(Tensor logits) => new LogitsReference(NotNull(logits, nameof(logits)));

    /// <summary>The reference's hidden states and its head, for a linear loss.</summary>
    /// <param name="hidden">
    /// Hidden states <c>[..., d]</c>, the leading dimensions those of the policy's; another d if <paramref name="weight"/> has it. Any floating dtype.
    /// </param>
    /// <param name="weight">
    /// Weight of the reference's head, <c>[V, d]</c>, any floating dtype. Null for the policy's own head as it is now, bias included: the case
    /// of a frozen head, where one matrix product makes both sets of logits. Of a head that is trained, the reference needs a frozen copy.
    /// </param>
    /// <param name="bias">Bias of the reference's head, <c>[V]</c>, any floating dtype; only with a <paramref name="weight"/>.</param>
    /// <returns>The reference.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="hidden"/> is null.</exception>
    /// <exception cref="ArgumentException">There is a <paramref name="bias"/> and no <paramref name="weight"/>.</exception>
    public static TokenReference Hidden(Tensor hidden, Tensor? weight = null, Tensor? bias = null) => bias is null || weight is not null
        ? new HiddenReference(NotNull(hidden, nameof(hidden)), weight, bias)
        : throw new ArgumentException(
            "bias needs a weight: without one, the reference's head is the policy's, with the policy's bias.", nameof(bias));

    /// <summary>The same with a head that is a module: its weight and, if it has one, its bias.</summary>
    /// <param name="hidden">Hidden states <c>[..., d]</c>.</param>
    /// <param name="head">The reference's head, from its d to the policy's V.</param>
    /// <returns>The reference.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    public static TokenReference Hidden(Tensor hidden, Linear head)
    {
        ArgumentNullException.ThrowIfNull(head);
        return new HiddenReference(NotNull(hidden, nameof(hidden)), head.weight, head.bias);
    }

    /// <summary>
    /// The reference's log-probability of each label, <c>lq[y]</c>, in nats: enough for the estimators of a divergence
    /// (<see cref="Kernels.KlEstimator"/>) and for importance ratios. For either loss.
    /// </summary>
    /// <param name="logProbabilities">
    /// Log-probabilities <c>[...]</c> of the labels' shape, at most 0, any floating dtype. Each belongs to the label at its place: with
    /// <c>shiftLabels</c> they are shifted like the labels.
    /// </param>
    /// <returns>The reference.</returns>
    /// <exception cref="ArgumentNullException">The argument is null.</exception>
    public static TokenReference LabelLogProbabilities(Tensor logProbabilities) =>
        new LabelReference(NotNull(logProbabilities, nameof(logProbabilities)));

    /// <summary>
    /// The K most likely entries of the reference at each token, as inference servers return them. The divergence is over these and one
    /// further entry for all others, so it is at most the exact one. For either loss.
    /// </summary>
    /// <param name="indices">Indices <c>[..., K]</c> in the vocabulary, the leading dimensions those of the labels, each once in a row; int64 or int32.</param>
    /// <param name="logProbabilities">
    /// Their log-probabilities <c>[..., K]</c> in nats, at most 0, whose probabilities sum to at most 1; any floating dtype. With
    /// <c>shiftLabels</c> both are shifted like the labels.
    /// </param>
    /// <returns>The reference.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    public static TokenReference TopK(Tensor indices, Tensor logProbabilities) =>
        new EntriesReference(NotNull(indices, nameof(indices)), NotNull(logProbabilities, nameof(logProbabilities)));

    /// <summary>A tensor as the reference: logits beside logits, hidden states (with the policy's head) beside hidden states; null for none.</summary>
    /// <param name="tensor">The tensor, or null.</param>
    [return: NotNullIfNotNull(nameof(tensor))]
    public static implicit operator TokenReference?(Tensor? tensor) => tensor is null ? null : new TensorReference(tensor);

    /// <summary>
    /// The same on a device, as for what a <see cref="ReferenceCache"/> has read, which is in host memory. Tensors that are there already are not copied.
    /// </summary>
    /// <param name="device">The device.</param>
    /// <returns>A reference with new tensors for those that were elsewhere; this one if none was.</returns>
    /// <exception cref="ArgumentNullException">The argument is null.</exception>
    public TokenReference to(Device device)
    {
        ArgumentNullException.ThrowIfNull(device);
        return Tensors.All(IsThere) ? this : Map(tensor => IsThere(tensor) ? tensor : tensor.to(device));

        bool IsThere(Tensor tensor) => tensor.device_type == device.type && (device.index < 0 || tensor.device_index == device.index);
    }

    /// <summary>Disposes the tensors that it holds.</summary>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        foreach (Tensor tensor in Tensors)
        {
            tensor.Dispose();
        }
    }

    /// <summary>The same with other tensors, which are asked for in the order of <see cref="Tensors"/>.</summary>
    internal abstract TokenReference Map(Func<Tensor, Tensor> map);

    private static Tensor NotNull(Tensor tensor, string name)
    {
        ArgumentNullException.ThrowIfNull(tensor, name);
        return tensor;
    }
}

/// <summary>A tensor that the kind of loss tells the meaning of.</summary>
internal sealed record TensorReference(Tensor Values) : TokenReference
{
    public override IReadOnlyList<Tensor> Tensors => [Values];

    internal override TokenReference Map(Func<Tensor, Tensor> map) => new TensorReference(map(Values));
}

/// <summary>Logits.</summary>
internal sealed record LogitsReference(Tensor Values) : TokenReference
{
    public override IReadOnlyList<Tensor> Tensors => [Values];

    internal override TokenReference Map(Func<Tensor, Tensor> map) => new LogitsReference(map(Values));
}

/// <summary>Hidden states, and the head; without one, the policy's.</summary>
internal sealed record HiddenReference(Tensor Values, Tensor? Weight, Tensor? Bias) : TokenReference
{
    public override IReadOnlyList<Tensor> Tensors => [.. new[] { Values, Weight, Bias }.OfType<Tensor>()];

    internal override TokenReference Map(Func<Tensor, Tensor> map) =>
        new HiddenReference(map(Values), Weight is null ? null : map(Weight), Bias is null ? null : map(Bias));
}

/// <summary>Log-probabilities of the labels.</summary>
internal sealed record LabelReference(Tensor LogProbabilities) : TokenReference
{
    public override IReadOnlyList<Tensor> Tensors => [LogProbabilities];

    internal override TokenReference Map(Func<Tensor, Tensor> map) => new LabelReference(map(LogProbabilities));
}

/// <summary>The most likely entries.</summary>
internal sealed record EntriesReference(Tensor Indices, Tensor LogProbabilities) : TokenReference
{
    public override IReadOnlyList<Tensor> Tensors => [Indices, LogProbabilities];

    internal override TokenReference Map(Func<Tensor, Tensor> map) => new EntriesReference(map(Indices), map(LogProbabilities));
}
