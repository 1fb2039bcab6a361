using Asft.Kernels;

namespace Asft.Bench.Gpu;

/// <summary>What is not as the fastest path of the kernels has it.</summary>
public enum GpuVariant
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>The reference has float32 logits.</summary>
    Float32Reference,

    /// <summary>The reference's rows begin one element further on in a line of memory than the policy's.</summary>
    MovedReference,

    /// <summary>The logits have a softcap, and stay far below it, as most do.</summary>
    Softcap,

    /// <summary>The logits have a softcap that they reach.</summary>
    ReachedSoftcap,
}

/// <summary>An architecture, which decides how much of a row stays in shared memory: 163, 99 or 227 KiB of a block, and on the last of a cluster.</summary>
public enum GpuArchitecture
{
    /// <summary>A100.</summary>
    Sm80,

    /// <summary>RTX 40.</summary>
    Sm89,

    /// <summary>H100.</summary>
    Sm90,
}

/// <summary>A launch of the shipped CUDA kernels that is counted: ASFT with forward KL, the gradient in place of the logits.</summary>
/// <param name="Type">Element type of both sets of logits.</param>
/// <param name="Vocabulary">V.</param>
/// <param name="Gradient">Whether the gradient is computed too.</param>
/// <param name="Rows">Rows that are run.</param>
/// <param name="Multiprocessors">Of the device that launches are shaped for; with fewer rows than these, several blocks share a row.</param>
/// <param name="Variant">What is not as the fastest path has it.</param>
/// <param name="Architecture">Of the device; without a gradient all do the same.</param>
public sealed record GpuCase(
    ElementType Type, int Vocabulary, bool Gradient, int Rows = 4, int Multiprocessors = 2, GpuVariant Variant = GpuVariant.None,
    GpuArchitecture Architecture = GpuArchitecture.Sm80)
{
    private static readonly ElementType[] s_types = [ElementType.BFloat16, ElementType.Float32];

    /// <summary>Vocabularies of Llama 2, Qwen 2.5 and Gemma 3, and GPT-2's, whose rows begin at odd addresses.</summary>
    private static readonly int[] s_vocabularies = [32000, 151936, 262144, 50257];

    /// <summary>Everything that is counted: as many rows as keep a GPU busy behave like these few, since a block works on each by itself.</summary>
    public static IReadOnlyList<GpuCase> All { get; } =
    [
        .. from type in s_types
           from gradient in new[] { false, true }
           from architecture in gradient ? Enum.GetValues<GpuArchitecture>() : [GpuArchitecture.Sm80]
           from vocabulary in s_vocabularies
           select new GpuCase(type, vocabulary, gradient, Architecture: architecture),
        .. from gradient in new[] { false, true }
           select new GpuCase(ElementType.BFloat16, 151936, gradient, Rows: 2, Multiprocessors: 108),
        .. from variant in Enum.GetValues<GpuVariant>()
           where variant != GpuVariant.None
           select new GpuCase(ElementType.BFloat16, 50257, Gradient: true, Variant: variant),
    ];

    /// <summary>Logits.</summary>
    public long Elements => (long)Rows * Vocabulary;

    /// <summary>Bytes of one element.</summary>
    public int ElementBytes => Type.SizeInBytes();

    /// <summary>Whether several blocks share a row.</summary>
    public bool IsShared => Rows < Multiprocessors;

    /// <summary>Whether it is the fastest path, whose figures are promised.</summary>
    public bool IsPlain => !IsShared && Variant == GpuVariant.None;

    /// <summary><c>bfloat16 forward+gradient</c>.</summary>
    public string Kernel => $"{Type.ToString().ToLowerInvariant()} {(Gradient ? "forward+gradient" : "forward")}";

    /// <summary>The kernel and what else there is to say of it: what may stand in one line of a table.</summary>
    public string Group => Kernel + (Gradient && IsPlain ? $", {Architecture.ToString().Replace("Sm", "sm_", StringComparison.Ordinal)}" : string.Empty) + Variant switch
    {
        GpuVariant.Float32Reference => ", float32 reference",
        GpuVariant.MovedReference => ", reference moved by an element",
        GpuVariant.Softcap => ", softcap",
        GpuVariant.ReachedSoftcap => ", softcap that logits reach",
        _ => IsShared ? ", blocks share rows" : string.Empty,
    };
}
