using Asft.Interop;
using FineTune.Transformer;
using static TorchSharp.torch;

namespace FineTune.Tuning;

/// <summary>The model that is trained, with its adapters and dropout off: no second model is in memory. The head is frozen, and so is shared.</summary>
internal sealed class AdaptersOffAnchor(Decoder model) : IAnchor
{
    public TokenReference Of(MicroBatch batch)
    {
        using var noGrad = no_grad();
        using IDisposable off = model.WithoutAdapters();
        return model.Hidden(batch.Tokens, batch.Layout(model.Config, model.HeadWeight));
    }
}
