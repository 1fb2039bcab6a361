using FineTune.Model;
using static TorchSharp.torch;

namespace FineTune.Training;

/// <summary>The reference model itself, run on every batch.</summary>
internal sealed class FrozenReference(LanguageModel model) : IReferenceStates
{
    public Tensor HeadWeight => model.HeadWeight;

    public Tensor Hidden(Batch batch)
    {
        using var noGrad = no_grad();
        return model.Hidden(batch.Tokens);
    }
}
