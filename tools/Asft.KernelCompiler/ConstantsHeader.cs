using System.Globalization;
using System.Reflection;
using Asft.Kernels;
using Asft.Kernels.Cuda;

namespace Asft.KernelCompiler;

/// <summary>The header that gives the kernels the constants of the launch code, and its enumerations.</summary>
internal static class ConstantsHeader
{
    /// <summary>Name of the file among the kernels.</summary>
    public const string FileName = "constants.cuh";

    private static readonly Type[] s_enumerations = [typeof(ElementType), typeof(TokenWeighting), typeof(WeightBound), typeof(KlEstimator), typeof(ReferenceUse)];

    /// <summary>Writes the header.</summary>
    /// <returns>CUDA C++.</returns>
    public static string Write() => string.Join('\n',
    [
        "// What the launch code and the kernels agree on. Written by `./build.sh kernels` from src/Asft.Kernels/Cuda/KernelConstants.cs, which",
        "// says what the constants mean, and from the enumerations of src/Asft.Kernels.",
        "#pragma once",
        string.Empty,
        .. typeof(KernelConstants).GetFields(BindingFlags.Public | BindingFlags.Static)
            .Select(field => $"constexpr int {field.Name} = {field.GetRawConstantValue()};"),
        string.Empty,
        .. s_enumerations.Select(type => $"enum class {type.Name} {{ {string.Join(", ", Enum.GetNames(type).Select(name => $"{name} = {Number(type, name)}"))} }};"),
        string.Empty,
    ]);

    private static string Number(Type type, string name) => Convert.ToInt32(Enum.Parse(type, name), CultureInfo.InvariantCulture).ToString(CultureInfo.InvariantCulture);
}
