namespace Asft.Bench.Report;

/// <summary>Where the plots go.</summary>
/// <param name="output">The directory of the page.</param>
internal sealed class PlotFolder(string output)
{
    /// <summary>Draws a plot into the folder.</summary>
    /// <param name="name">File name without extension.</param>
    /// <param name="panels">The plot, or several to be put side by side.</param>
    /// <returns>Its path as the page says it.</returns>
    public string Save(string name, params ScottPlot.Plot[] panels)
    {
        Plots.PlotStyle.Save(Path.Combine(output, ReportCommand.Name, name + ".png"), panels);
        return PathOf(name);
    }

    /// <summary>Path of a plot as the page says it.</summary>
    public static string PathOf(string name) => $"{ReportCommand.Name}/{name}.png";
}
