namespace Asft.Kernels;

/// <summary>How one logit is stored. Arithmetic is in float32, or in float64 when the policy logits are float64.</summary>
public enum ElementType
{
    /// <summary>IEEE 754 binary32, 4 bytes.</summary>
    Float32,

    /// <summary>IEEE 754 binary64, 8 bytes.</summary>
    Float64,

    /// <summary>IEEE 754 binary16, 2 bytes.</summary>
    Float16,

    /// <summary>bfloat16: the upper half of a binary32, 2 bytes.</summary>
    BFloat16,
}

/// <summary>Facts about an <see cref="ElementType"/>.</summary>
public static class ElementTypeExtensions
{
    /// <summary>Size of one element in bytes.</summary>
    /// <param name="type">The element type.</param>
    /// <returns>8, 4 or 2.</returns>
    public static int SizeInBytes(this ElementType type) => type switch
    {
        ElementType.Float64 => sizeof(double),
        ElementType.Float32 => sizeof(float),
        _ => sizeof(ushort),
    };

    /// <summary>The type of the arithmetic on logits that are stored so, and of what comes of them.</summary>
    internal static ElementType Arithmetic(this ElementType type) =>
        type == ElementType.Float64 ? ElementType.Float64 : ElementType.Float32;
}
