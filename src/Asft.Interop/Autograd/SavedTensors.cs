using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>The tensors that a loss saves to compute its gradient later, or once more. What is not needed is null.</summary>
internal sealed class SavedTensors
{
    private const int Places = 5;

    private readonly Tensor?[] _tensors;

    private SavedTensors(Tensor?[] tensors) => _tensors = tensors;

    public Tensor Logits => _tensors[0]!;

    /// <summary>Reference logits, if the objective reads them.</summary>
    public Tensor? Reference => _tensors[1];

    /// <summary>The <see cref="TokenScale.Factor"/>, if there is one.</summary>
    public Tensor? Factor => _tensors[2];

    /// <summary>This one and the state are for the kernel's backward; for its forward, nothing more has to be saved.</summary>
    public Tensor? Weight => _tensors[3];

    private Tensor? State => _tensors[4];

    /// <summary>What there is to save, in order.</summary>
    public List<Tensor> List
    {
        get
        {
            List<Tensor> list = [];
            foreach (Tensor? tensor in _tensors)
            {
                if (tensor is not null)
                {
                    list.Add(tensor);
                }
            }

            return list;
        }
    }

    /// <summary>A bit for each tensor that there is.</summary>
    public int Present
    {
        get
        {
            int present = 0;
            for (int place = 0; place < Places; place++)
            {
                present |= _tensors[place] is null ? 0 : 1 << place;
            }

            return present;
        }
    }

    /// <summary>What there is to save of a loss.</summary>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="logits">Its logits, or a tensor over their memory.</param>
    /// <param name="tokens">Its per-token results.</param>
    /// <param name="scale">What every row's gradient is scaled with.</param>
    /// <param name="forBackward">Whether the kernel's backward will be asked, rather than its forward once more.</param>
    public static SavedTensors Of(LossArguments arguments, Tensor logits, TokenTensors tokens, TokenScale scale, bool forBackward)
    {
        bool readsReference = arguments.Tokens.Objective.NeedsReference && arguments.ReferenceLogits is not null;
        return new SavedTensors(
        [
            logits,
            readsReference ? TensorMemory.Savable(arguments.ReferenceLogits!) : null,
            scale.Factor,
            forBackward ? tokens.Weight : null,
            forBackward ? tokens.State : null,
        ]);
    }

    /// <summary>From what a graph gave back for <see cref="List"/>.</summary>
    /// <param name="saved">The list.</param>
    /// <param name="present">The <see cref="Present"/> of those that were saved.</param>
    public static SavedTensors From(List<Tensor> saved, int present)
    {
        var tensors = new Tensor?[Places];
        for (int place = 0, next = 0; place < Places; place++)
        {
            tensors[place] = (present & (1 << place)) == 0 ? null : saved[next++];
        }

        return new SavedTensors(tensors);
    }

    /// <summary>The outputs of the forward pass as the kernel's backward wants them.</summary>
    public unsafe TokenOutputs Outputs => new()
    {
        Weight = TensorMemory.PointerOrNull(Weight),
        State = (RowState*)TensorMemory.PointerOrNull(State),
    };
}
