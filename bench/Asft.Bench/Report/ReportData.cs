using Asft.Bench.Results;

namespace Asft.Bench.Report;

/// <summary>Everything that the page is made from, by the name of what was measured.</summary>
/// <param name="sets">The results.</param>
internal sealed class ReportData(IReadOnlyDictionary<string, ResultSet> sets)
{
    /// <summary>Results of that name; null when they were not measured.</summary>
    public ResultSet? Find(string name) => sets.GetValueOrDefault(name);

    /// <summary>Where and when: of the newest results.</summary>
    public ResultSet Newest => sets.Values.MaxBy(set => set.Date)!;

    /// <summary>Whether all were measured on the same machine with the same build.</summary>
    public bool IsOfOneBuild => sets.Values.Select(set => set.Machine).Distinct().Count() == 1;
}
