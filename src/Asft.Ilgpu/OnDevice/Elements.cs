namespace Asft.Kernels.Ilgpu.OnDevice;

/// <summary>How a logit is stored: conversions between its storage and the type of the arithmetic.</summary>
/// <typeparam name="TStorage">What lies in memory; the 16-bit types are words, so that no device needs to know them.</typeparam>
/// <typeparam name="T">The type of the arithmetic.</typeparam>
internal interface IElement<TStorage, T>
    where TStorage : unmanaged
    where T : unmanaged
{
    static abstract T Load(TStorage stored);

    /// <summary>Rounds to the nearest, of two equally near to the even one.</summary>
    static abstract TStorage Store(T value);
}

internal readonly struct Float32Element : IElement<float, float>, IElement<float, double>
{
    static float IElement<float, float>.Load(float stored) => stored;

    static float IElement<float, float>.Store(float value) => value;

    static double IElement<float, double>.Load(float stored) => stored;

    static float IElement<float, double>.Store(double value) => (float)value;
}

internal readonly struct Float64Element : IElement<double, float>, IElement<double, double>
{
    static float IElement<double, float>.Load(double stored) => (float)stored;

    static double IElement<double, float>.Store(float value) => value;

    static double IElement<double, double>.Load(double stored) => stored;

    static double IElement<double, double>.Store(double value) => value;
}

internal readonly struct BFloat16Element : IElement<ushort, float>, IElement<ushort, double>
{
    static float IElement<ushort, float>.Load(ushort stored) => BFloat16Bits.Widen(stored);

    static ushort IElement<ushort, float>.Store(float value) => BFloat16Bits.Narrow(value);

    static double IElement<ushort, double>.Load(ushort stored) => BFloat16Bits.Widen(stored);

    static ushort IElement<ushort, double>.Store(double value) => BFloat16Bits.Narrow((float)value);
}

internal readonly struct Float16Element : IElement<ushort, float>, IElement<ushort, double>
{
    static float IElement<ushort, float>.Load(ushort stored) => Float16Bits.Widen(stored);

    static ushort IElement<ushort, float>.Store(float value) => Float16Bits.Narrow(value);

    static double IElement<ushort, double>.Load(ushort stored) => Float16Bits.Widen(stored);

    static ushort IElement<ushort, double>.Store(double value) => Float16Bits.Narrow((float)value);
}
