using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The tensors that a loss saves for its backward: <c>[labels]</c> where the gradient has already replaced the logits, otherwise
/// <c>[labels, logits, lse, weight]</c>, then <c>reference</c> if the objective reads one, then <c>kl, reference lse</c> if its KL counts.
/// </summary>
internal readonly struct SavedTensors
{
    private readonly List<Tensor> _tensors;

    private SavedTensors(List<Tensor> tensors) => _tensors = tensors;

    public Tensor Labels => _tensors[0];

    public Tensor Logits => _tensors[1];

    public Tensor LogSumExp => _tensors[2];

    public Tensor Weight => _tensors[3];

    public Tensor? Reference => _tensors.ElementAtOrDefault(4);

    public Tensor? Kl => _tensors.ElementAtOrDefault(5);

    public Tensor? ReferenceLogSumExp => _tensors.ElementAtOrDefault(6);

    /// <summary>From what a graph gave back.</summary>
    public static SavedTensors Of(List<Tensor> tensors) => new(tensors);

    /// <summary>The list to save.</summary>
    public static List<Tensor> List(LossArguments arguments, Tensor labels, TokenTensors tokens)
    {
        List<Tensor> tensors = [labels, arguments.Logits, tokens.LogSumExp!, tokens.Weight!];
        if (arguments.Objective.NeedsReference)
        {
            tensors.Add(TensorMemory.Savable(arguments.Reference!));
            if (arguments.Objective.KlWeight > 0)
            {
                tensors.AddRange([tokens.Kl!, tokens.ReferenceLogSumExp!]);
            }
        }

        return tensors;
    }

    /// <summary>The outputs of the forward pass as the kernel's backward wants them.</summary>
    public unsafe TokenOutputs Outputs => new()
    {
        LogSumExp = TensorMemory.Pointer(LogSumExp),
        Weight = TensorMemory.Pointer(Weight),
        Kl = Kl is null ? null : TensorMemory.Pointer(Kl),
        ReferenceLogSumExp = ReferenceLogSumExp is null ? null : TensorMemory.Pointer(ReferenceLogSumExp),
    };
}
