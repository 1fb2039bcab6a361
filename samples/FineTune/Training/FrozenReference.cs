using FineTune.Model;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Training;

/// <summary>The reference model itself, run on every batch.</summary>
internal sealed class FrozenReference(LanguageModel model) : IReferenceStates
{
    public Linear Head => model.Head;

    public Tensor Hidden(Batch batch)
    {
        using var noGrad = no_grad();
        return model.Hidden(batch.Tokens);
    }
}
