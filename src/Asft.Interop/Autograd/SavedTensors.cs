using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The tensors that a loss saves to compute its gradient later, or once more: none where the gradient has replaced the logits, otherwise
/// <c>[labels, logits, lse, weight, state]</c>, then <c>reference</c> if the objective reads one, then <c>kl, reference lse</c> if its KL
/// counts; and at the very end the <see cref="TokenScale.Factor"/> if there is one.
/// </summary>
internal readonly struct SavedTensors
{
    private readonly List<Tensor> _tensors;

    private SavedTensors(List<Tensor> tensors, Tensor? factor)
    {
        _tensors = tensors;
        Factor = factor;
    }

    public Tensor Labels => _tensors[0];

    public Tensor Logits => _tensors[1];

    public Tensor LogSumExp => _tensors[2];

    public Tensor Weight => _tensors[3];

    public Tensor State => _tensors[4];

    public Tensor? Reference => _tensors.ElementAtOrDefault(5);

    public Tensor? Kl => _tensors.ElementAtOrDefault(6);

    public Tensor? ReferenceLogSumExp => _tensors.ElementAtOrDefault(7);

    public Tensor? Factor { get; }

    /// <summary>From what a graph gave back.</summary>
    /// <param name="tensors">The list that was saved.</param>
    /// <param name="hasFactor">Whether its last element is a factor.</param>
    public static SavedTensors Of(List<Tensor> tensors, bool hasFactor) =>
        hasFactor ? new(tensors[..^1], tensors[^1]) : new(tensors, null);

    /// <summary>The list to save.</summary>
    public static List<Tensor> List(LossArguments arguments, Tensor labels, TokenTensors tokens, TokenScale scale, Tensor logits)
    {
        List<Tensor> tensors = [labels, logits, tokens.LogSumExp!, tokens.Weight!, tokens.State!];
        if (arguments.Objective.NeedsReference)
        {
            tensors.Add(TensorMemory.Savable(arguments.Reference!));
            if (arguments.Objective.KlWeight > 0)
            {
                tensors.AddRange([tokens.Kl!, tokens.ReferenceLogSumExp!]);
            }
        }

        if (scale.Factor is not null)
        {
            tensors.Add(scale.Factor);
        }

        return tensors;
    }

    /// <summary>The outputs of the forward pass as the kernel's backward wants them.</summary>
    public unsafe TokenOutputs Outputs => new()
    {
        LogSumExp = TensorMemory.Pointer(LogSumExp),
        Weight = TensorMemory.Pointer(Weight),
        State = (RowState*)TensorMemory.Pointer(State),
        Kl = Kl is null ? null : TensorMemory.Pointer(Kl),
        ReferenceLogSumExp = ReferenceLogSumExp is null ? null : TensorMemory.Pointer(ReferenceLogSumExp),
    };
}
