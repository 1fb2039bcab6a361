using Asft.Bench.Benchmarks;

namespace Asft.Bench.Report;

/// <summary>One of those that are compared, with its name, and its colour in every plot.</summary>
/// <param name="Benchmark">The benchmark of forward and backward.</param>
/// <param name="Forward">The benchmark of forward alone; null where there is none.</param>
/// <param name="Name">What people call it.</param>
/// <param name="Colour">Okabe and Ito's colours, told apart with any colour vision.</param>
/// <param name="Marker">Tells it apart in print.</param>
internal sealed record Implementation(string Benchmark, string? Forward, string Name, string Colour, ScottPlot.MarkerShape Marker)
{
    public static Implementation Composed { get; } = new(
        nameof(LossBenchmarks.Composed), nameof(LossBenchmarks.ComposedForward), "composed", "#999999", ScottPlot.MarkerShape.FilledSquare);

    public static Implementation CrossEntropy { get; } = new(
        nameof(LossBenchmarks.CrossEntropy), nameof(LossBenchmarks.CrossEntropyForward), "F.cross_entropy (SFT)", "#E69F00", ScottPlot.MarkerShape.FilledTriangleUp);

    public static Implementation Tuned { get; } = new(
        nameof(LossBenchmarks.Tuned), nameof(LossBenchmarks.TunedForward), "tuned torch", "#56B4E9", ScottPlot.MarkerShape.FilledDiamond);

    public static Implementation Default { get; } = new(
        nameof(LossBenchmarks.Fused), nameof(LossBenchmarks.FusedForward), "asft_loss", "#0072B2", ScottPlot.MarkerShape.FilledCircle);

    public static Implementation InPlace { get; } = new(
        nameof(LossBenchmarks.FusedInPlace), null, "asft_loss, in place", "#D55E00", ScottPlot.MarkerShape.FilledCircle);

    public static Implementation Triad { get; } = new(
        nameof(LossBenchmarks.Triad), null, "triad", "#000000", ScottPlot.MarkerShape.OpenCircle);

    /// <summary>From what users have to what the machine can do.</summary>
    public static IReadOnlyList<Implementation> All { get; } = [Composed, CrossEntropy, Tuned, Default, InPlace, Triad];
}
