using Asft.Distributed.Ranks;

namespace Asft.Distributed.Tests;

/// <summary>The scenarios on ranks that are threads: what they compute, without an engine.</summary>
public class ThreadTests
{
    private static IEnumerable<string> Names => Scenarios.All.Keys;

    [Test]
    public void Scenario([ValueSource(nameof(Names))] string name, [Values(1, 2, 3)] int ranks) => ThreadGroup.Run(ranks, Scenarios.All[name]);
}
