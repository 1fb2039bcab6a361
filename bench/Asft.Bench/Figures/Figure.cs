using System.Globalization;

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
