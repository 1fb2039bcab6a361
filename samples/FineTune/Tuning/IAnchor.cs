using Asft.Interop;

namespace FineTune.Tuning;

/// <summary>What the model is held to.</summary>
internal interface IAnchor
{
    /// <summary>What the reference says of a batch; of the caller's dispose scope.</summary>
    TokenReference Of(MicroBatch batch);
}
