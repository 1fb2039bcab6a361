using Asft.Kernels;

namespace Asft.GpuCheck;

/// <summary>How much is checked and measured.</summary>
/// <param name="Cases">Random problems for each property.</param>
/// <param name="Types">Storage types.</param>
/// <param name="Vocabularies">Vocabularies, at <paramref name="Rows"/> rows each, or as many as find room.</param>
/// <param name="Rows">Rows.</param>
/// <param name="RowCounts">Numbers of rows, at <paramref name="RowsVocabulary"/> logits each.</param>
/// <param name="RowsVocabulary">Their vocabulary.</param>
/// <param name="Repeats">How often each is measured; the median counts.</param>
/// <param name="CopyBytes">What is copied to measure how fast the memory copies.</param>
internal sealed record GpuSizes(
    int Cases, ElementType[] Types, int[] Vocabularies, int Rows, int[] RowCounts, int RowsVocabulary, int Repeats, long CopyBytes)
{
    private static readonly ElementType[] s_types = [ElementType.BFloat16, ElementType.Float16, ElementType.Float32];

    /// <summary>For a GPU: numbers of rows on both sides of the number of multiprocessors, and of four times as many.</summary>
    public static GpuSizes Full(int multiprocessors) => new(
        400, s_types, [32_000, 50_257, 128_256, 151_936, 262_144], 8192,
        [1, 16, multiprocessors, multiprocessors + 1, (2 * multiprocessors) + 1, 4 * multiprocessors, 2048, 8192, 16_384], 128_256, 9, 1L << 30);

    /// <summary>For the virtual machine, whose times mean nothing.</summary>
    public static GpuSizes Tiny { get; } = new(5, s_types, [33, 500], 3, [1, 5], 100, 1, 1 << 16);
}
