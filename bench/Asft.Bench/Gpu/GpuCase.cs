using Asft.Kernels;

namespace Asft.Bench.Gpu;

/// <summary>A launch of the shipped CUDA kernels that is counted: ASFT with forward KL, the gradient in place of the logits.</summary>
/// <param name="Type">Element type of both sets of logits.</param>
/// <param name="Vocabulary">V.</param>
/// <param name="Gradient">Whether the gradient is computed too.</param>
/// <param name="Rows">Rows that are run.</param>
/// <param name="Multiprocessors">Of the device that launches are shaped for; with fewer rows than these, several blocks share a row.</param>
public sealed record GpuCase(ElementType Type, int Vocabulary, bool Gradient, int Rows = 4, int Multiprocessors = 2)
{
    private static readonly ElementType[] s_types = [ElementType.BFloat16, ElementType.Float32];

    /// <summary>Vocabularies of Llama 2 and Qwen 2.5, and GPT-2's, whose rows begin at odd addresses.</summary>
    private static readonly int[] s_vocabularies = [32000, 151936, 50257];

    /// <summary>Everything that is counted: as many rows as keep a GPU busy behave like these few, since a block works on each by itself.</summary>
    public static IReadOnlyList<GpuCase> All { get; } =
    [
        .. from type in s_types
           from gradient in new[] { false, true }
           from vocabulary in s_vocabularies
           select new GpuCase(type, vocabulary, gradient),
        .. from gradient in new[] { false, true }
           select new GpuCase(ElementType.BFloat16, 151936, gradient, Rows: 2, Multiprocessors: 108),
    ];

    /// <summary>Logits.</summary>
    public long Elements => (long)Rows * Vocabulary;

    /// <summary>Bytes of one element.</summary>
    public int ElementBytes => Type.SizeInBytes();

    /// <summary>Whether several blocks share a row.</summary>
    public bool IsShared => Rows < Multiprocessors;

    /// <summary><c>bfloat16 forward+gradient</c>; what may stand in one line of a table.</summary>
    public string Group => $"{Type.ToString().ToLowerInvariant()} {(Gradient ? "forward+gradient" : "forward")}{(IsShared ? ", blocks share rows" : string.Empty)}";
}
