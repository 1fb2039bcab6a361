using ScottPlot;
using ScottPlot.TickGenerators;

namespace Asft.Bench.Report.Plots;

/// <summary>Logarithmic axes with plain numbers: ScottPlot draws logarithms, and these are the labels.</summary>
internal static class LogAxis
{
    private const double DecadesForSteps = 3.2;

    /// <summary>1, 2, 5, 10, 20, ... within a range; powers of ten alone when it is wide.</summary>
    public static IReadOnlyList<double> Round(double least, double most)
    {
        bool steps = Math.Log10(most / least) <= DecadesForSteps;
        List<double> values = [];
        for (int decade = (int)Math.Floor(Math.Log10(least)); decade <= Math.Ceiling(Math.Log10(most)); decade++)
        {
            double power = Math.Pow(10, decade);
            values.AddRange((steps ? new double[] { 1, 2, 5 } : [1]).Select(digit => digit * power));
        }

        return [.. values.Where(value => value >= least * 0.999 && value <= most * 1.001)];
    }

    /// <summary>The values themselves, without those so close to a smaller one that their labels would touch.</summary>
    public static IReadOnlyList<double> Values(IEnumerable<double> values)
    {
        const double LeastRatio = 1.35;
        List<double> kept = [];
        foreach (double value in values.Distinct().Order())
        {
            if (kept.Count == 0 || value >= kept[^1] * LeastRatio)
            {
                kept.Add(value);
            }
        }

        return kept;
    }

    /// <summary>Limits and ticks of an axis.</summary>
    public static void Apply(IAxis axis, double least, double most, IReadOnlyList<double> ticks)
    {
        var generator = new NumericManual();
        foreach (double tick in ticks)
        {
            generator.AddMajor(Math.Log10(tick), tick >= 1 ? Numbers.Whole(tick) : tick.ToString("0.###", System.Globalization.CultureInfo.InvariantCulture));
        }

        axis.TickGenerator = generator;
        axis.Range.Set(Math.Log10(least), Math.Log10(most));
    }
}
