using Asft.Bench.Gpu;

namespace Asft.Bench.Figures;

/// <summary>Figures that are measured together.</summary>
/// <param name="Title">What they are of, and how they are measured.</param>
/// <param name="Figures">The figures.</param>
public sealed record FigureSet(string Title, IReadOnlyList<Figure> Figures)
{
    /// <summary>What they were derived from, if from counts of the CUDA kernels.</summary>
    public IReadOnlyList<GpuCounts>? Counts { get; init; }
}
