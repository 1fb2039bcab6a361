using System.Diagnostics;
using Asft.Interop;

namespace Asft.Distributed.Ranks;

/// <summary>What goes wrong on the last rank while the others wait for it in a collective.</summary>
internal static class Faults
{
    /// <summary>By name; each gets the group.</summary>
    public static IReadOnlyDictionary<string, Action<IProcessGroup>> All { get; } = new Dictionary<string, Action<IProcessGroup>>
    {
        ["throw"] = static group => throw new InvalidTimeZoneException("the message of the exception"),
        ["kill"] = static group => Process.GetCurrentProcess().Kill(),
        ["stuck"] = static group => Thread.Sleep(Timeout.Infinite),
        ["leave"] = static group => Environment.Exit(0),
    };

    /// <summary>Runs one.</summary>
    public static void Run(IProcessGroup group, Action<IProcessGroup> fault)
    {
        group.Barrier();
        if (group.Rank == group.Size - 1)
        {
            Console.WriteLine(FormattableString.Invariant($"fault at {DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()}"));
            Console.Out.Flush();
            fault(group);
        }

        group.Barrier();
    }
}
