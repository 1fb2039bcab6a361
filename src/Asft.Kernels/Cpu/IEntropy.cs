namespace Asft.Kernels.Cpu;

/// <summary>What is summed for statistics of the policy: constants to the compiler.</summary>
internal interface IEntropy
{
    /// <summary>Whether there is anything.</summary>
    static abstract bool On { get; }

    /// <summary>Whether there are squares beside the entropy's own terms, which cost as much again as those and which few ask for.</summary>
    static abstract bool HasSquares { get; }
}

internal readonly struct NoEntropy : IEntropy
{
    static bool IEntropy.On => false;

    static bool IEntropy.HasSquares => false;
}

internal readonly struct EntropyAlone : IEntropy
{
    static bool IEntropy.On => true;

    static bool IEntropy.HasSquares => false;
}

internal readonly struct EntropyAndSquares : IEntropy
{
    static bool IEntropy.On => true;

    static bool IEntropy.HasSquares => true;
}
