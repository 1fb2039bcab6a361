using Asft.Distributed.Ranks;
using Asft.Interop;

namespace Asft.Distributed.Tests;

/// <summary>A program that nothing has launched as one of several.</summary>
public class LocalGroupTests
{
    private static IEnumerable<string> Names => Scenarios.All.Keys;

    [Test]
    public void Scenario([ValueSource(nameof(Names))] string name)
    {
        using var scope = TorchSharp.torch.NewDisposeScope();
        using IProcessGroup group = ProcessGroup.Join();
        Assert.That(group, Is.TypeOf<LocalGroup>());
        Scenarios.All[name](group);
        group.Complete();
    }

    [Test]
    public void TimeoutIsAboveZero() => Assert.That(
        () => ProcessGroup.Join(TimeSpan.Zero),
        Throws.TypeOf<ArgumentOutOfRangeException>().With.Property(nameof(ArgumentException.ParamName)).EqualTo("timeout"));
}
