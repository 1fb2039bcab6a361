using System.Globalization;
using Asft.Bench.Gpu;

namespace Asft.Bench.Figures;

/// <summary>One line of the table.</summary>
public sealed record Figure(string Name, string Size, string Must, string Aim, string Measured, bool Holds, bool ReachesAim)
{
    /// <summary><c>aim</c>, <c>must</c> or <c>missed</c>; empty for a figure that promises nothing.</summary>
    public string Verdict => Must == "-" && Aim == "-" ? string.Empty : ReachesAim ? "aim" : Holds ? "must" : "missed";

    public static Figure AtLeast(string name, string size, double measured, double must, double aim, string unit) =>
        new(name, size, Text(must) + unit, Text(aim) + unit, Text(measured) + unit, measured >= must, measured >= aim);

    public static Figure AtMost(string name, string size, double measured, double must, double aim, string unit) =>
        new(name, size, Text(must) + unit, Text(aim) + unit, Text(measured) + unit, measured <= must, measured <= aim);

    /// <summary>A figure that promises nothing, for comparison.</summary>
    public static Figure Plain(string name, string size, string measured) => new(name, size, "-", "-", measured, true, true);

    private static string Text(double value) => value.ToString(value < 10 ? "0.00" : "0.0", CultureInfo.InvariantCulture);
}

/// <summary>Figures that are measured together.</summary>
/// <param name="Title">What they are of, and how they are measured.</param>
/// <param name="Figures">The figures.</param>
public sealed record FigureSet(string Title, IReadOnlyList<Figure> Figures)
{
    /// <summary>What they were derived from, if from counts of the CUDA kernels.</summary>
    public IReadOnlyList<GpuCounts>? Counts { get; init; }
}
