using Asft.Distributed.Ranks;
using Asft.Interop;
using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Distributed.Tests;

/// <summary>The scenarios on ranks that are threads: what they compute, without an engine.</summary>
public class ThreadTests
{
    private static IEnumerable<string> Names => Scenarios.All.Keys;

    [Test]
    public void Scenario([ValueSource(nameof(Names))] string name, [Values(1, 2, 3)] int ranks) => ThreadGroup.Run(ranks, Scenarios.All[name]);

    /// <summary>Where the host does not look at the tensors.</summary>
    [Test]
    [NonParallelizable]
    public void OnADevice([Values("logit losses", "linear losses")] string name, [Values(2, 3)] int ranks)
    {
        using IDisposable device = KernelChooser.Substitute(new HostMemoryDevice());
        ThreadGroup.Run(ranks, Scenarios.All[name]);
    }

    /// <summary>What a step exchanges: one message that the ranks call the loss alike, and the states of each chunk of rows.</summary>
    [TestCase(32, false, false, 0)]
    [TestCase(56, true, false, 0)]
    [TestCase(64, true, true, 0)]
    [TestCase(80, true, true, 0.1)]
    public void BytesOfARow(int bytes, bool hasReference, bool isReverse, double smoothing) => ThreadGroup.Run(2, group =>
    {
        const int Rows = 1024;
        LossObjective objective = new()
        {
            KlWeight = hasReference ? 0.1 : 0,
            KlDirection = isReverse ? KlDirection.Reverse : KlDirection.Forward,
            LabelSmoothing = smoothing,
        };
        using Tensor logits = zeros(Rows, 4);
        using Tensor labels = zeros(Rows, ScalarType.Int64);
        AsftFunctional.asft_loss(logits, labels, hasReference ? logits : null, objective, shard: new VocabularyShard(group, 4 * group.Rank, 8)).Dispose();
        (int collectives, long all) = group.Sent;
        Assert.That(collectives, Is.EqualTo(2), "one to agree, and one for all rows, which are few bytes");
        Assert.That(all - (bytes * Rows), Is.InRange(1, 200), "what it takes to agree");
    });
}
