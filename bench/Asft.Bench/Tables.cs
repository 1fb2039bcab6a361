using Asft.Bench.Devices;
using Asft.Bench.Foundation;
using Asft.Bench.Linear;

namespace Asft.Bench;

/// <summary>The tables by the name that <c>--filter</c> takes.</summary>
internal static class Tables
{
    public static IReadOnlyDictionary<string, Func<int>> All { get; } = new Dictionary<string, Func<int>>(StringComparer.OrdinalIgnoreCase)
    {
        ["Foundation"] = () => FoundationTable.Run(rounds: 15),
        ["Linear"] = () => LinearTable.Run(rounds: 5),
        ["Devices"] = () => DeviceTable.Run(rounds: 3),
    };
}
