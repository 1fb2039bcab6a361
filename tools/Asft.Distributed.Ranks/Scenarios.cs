using Asft.Interop;

namespace Asft.Distributed.Ranks;

/// <summary>What ranks do together, each a function of the group. They throw where something is not as it should be.</summary>
internal static class Scenarios
{
    /// <summary>Those that end well, by name.</summary>
    public static IReadOnlyDictionary<string, Action<IProcessGroup>> All { get; } = new Dictionary<string, Action<IProcessGroup>>
    {
        ["collectives"] = Collectives.Run,
        ["logit losses"] = LogitLosses.Run,
        ["linear losses"] = LinearLosses.Run,
        ["refusals"] = Refusals.Run,
        ["data parallel"] = DataParallelTraining.Run,
    };
}
