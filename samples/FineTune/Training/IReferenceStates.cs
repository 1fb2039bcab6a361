using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Training;

/// <summary>Where the reference's hidden states come from.</summary>
internal interface IReferenceStates
{
    /// <summary>The reference's output projection.</summary>
    Linear Head { get; }

    /// <summary>Hidden states <c>[B, T, d]</c> of a batch.</summary>
    Tensor Hidden(Batch batch);
}
