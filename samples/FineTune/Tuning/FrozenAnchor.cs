using Asft.Interop;
using FineTune.Transformer;
using static TorchSharp.torch;

namespace FineTune.Tuning;

/// <summary>Another model, which is run on every batch.</summary>
internal sealed class FrozenAnchor : IAnchor
{
    private readonly Decoder reference;

    public FrozenAnchor(Decoder reference)
    {
        this.reference = reference;
        reference.Freeze();
        reference.eval();
    }

    public TokenReference Of(MicroBatch batch)
    {
        using var noGrad = no_grad();
        return TokenReference.Hidden(reference.Hidden(batch.Tokens, batch.Layout(reference.Config, reference.HeadWeight)), reference.HeadWeight);
    }
}
