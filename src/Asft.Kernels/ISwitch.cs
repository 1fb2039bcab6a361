namespace Asft.Kernels;

/// <summary>A choice that is a constant to the compiler, the JIT's or ILGPU's: what is off costs nothing.</summary>
internal interface ISwitch
{
    static abstract bool On { get; }
}

internal readonly struct On : ISwitch
{
    static bool ISwitch.On => true;
}

internal readonly struct Off : ISwitch
{
    static bool ISwitch.On => false;
}
