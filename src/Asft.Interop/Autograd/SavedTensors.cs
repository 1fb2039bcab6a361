using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>The tensors that a loss saves to compute its gradient later, or once more. What is not needed is null.</summary>
internal sealed class SavedTensors
{
    private const int Places = 9;

    private readonly Tensor?[] _tensors;

    private SavedTensors(Tensor?[] tensors) => _tensors = tensors;

    public Tensor Labels => _tensors[0]!;

    public Tensor Logits => _tensors[1]!;

    /// <summary>If the objective reads one.</summary>
    public Tensor? Reference => _tensors[2];

    /// <summary>The <see cref="TokenScale.Factor"/>, if there is one.</summary>
    public Tensor? Factor => _tensors[3];

    /// <summary>These are for the kernel's backward; for its forward, nothing has to be saved.</summary>
    public Tensor? Weight => _tensors[4];

    private Tensor? LogSumExp => _tensors[5];

    private Tensor? State => _tensors[6];

    private Tensor? Kl => _tensors[7];

    private Tensor? ReferenceLogSumExp => _tensors[8];

    /// <summary>What there is to save, in order.</summary>
    public List<Tensor> List => [.. _tensors.OfType<Tensor>()];

    /// <summary>Which of the tensors there are.</summary>
    public bool[] Present => Array.ConvertAll(_tensors, static tensor => tensor is not null);

    /// <summary>What there is to save of a loss.</summary>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="logits">Its logits, or a tensor over their memory.</param>
    /// <param name="labels">Its labels, one for each row.</param>
    /// <param name="tokens">Its per-token results.</param>
    /// <param name="scale">What every row's gradient is scaled with.</param>
    /// <param name="forBackward">Whether the kernel's backward will be asked, rather than its forward once more.</param>
    public static SavedTensors Of(LossArguments arguments, Tensor logits, Tensor labels, TokenTensors tokens, TokenScale scale, bool forBackward)
    {
        LossObjective objective = arguments.Objective;
        bool hasKl = forBackward && objective.KlWeight > 0;
        return new SavedTensors(
        [
            labels,
            logits,
            objective.NeedsReference ? TensorMemory.Savable(arguments.Reference!) : null,
            scale.Factor,
            forBackward ? tokens.Weight : null,
            forBackward ? tokens.LogSumExp : null,
            forBackward ? tokens.State : null,
            hasKl ? tokens.Kl : null,
            hasKl ? tokens.ReferenceLogSumExp : null,
        ]);
    }

    /// <summary>From what a graph gave back.</summary>
    /// <param name="saved">The list.</param>
    /// <param name="present">Which tensors are in it.</param>
    public static SavedTensors From(List<Tensor> saved, bool[] present)
    {
        var tensors = new Tensor?[Places];
        for (int place = 0, next = 0; place < Places; place++)
        {
            tensors[place] = present[place] ? saved[next++] : null;
        }

        return new SavedTensors(tensors);
    }

    /// <summary>The outputs of the forward pass as the kernel's backward wants them.</summary>
    public unsafe TokenOutputs Outputs => new()
    {
        LogSumExp = TensorMemory.PointerOrNull(LogSumExp),
        Weight = TensorMemory.PointerOrNull(Weight),
        State = (RowState*)TensorMemory.PointerOrNull(State),
        Kl = TensorMemory.PointerOrNull(Kl),
        ReferenceLogSumExp = TensorMemory.PointerOrNull(ReferenceLogSumExp),
    };
}
