using Asft.Distributed.Nccl;

namespace Asft.Distributed.Tests;

/// <summary>What of NCCL needs no GPU.</summary>
public class NcclTests
{
    [Test]
    public void GivesAnIdentity()
    {
        if (NcclLibrary.Instance is not { } nccl)
        {
            Assert.Ignore("no libnccl.so.2 (Debian: libnccl2)");
            return;
        }

        NcclUniqueId id = nccl.UniqueId();
        NcclUniqueId other = nccl.UniqueId();
        Assert.That(((ReadOnlySpan<byte>)id).ToArray(), Is.Not.EqualTo(((ReadOnlySpan<byte>)other).ToArray()));
        Assert.That(((ReadOnlySpan<byte>)id).ToArray(), Has.Some.Not.Zero);
    }

    [Test]
    public void SaysThatThereIsNone()
    {
        if (NcclLibrary.Instance is not null)
        {
            Assert.Ignore("libnccl.so.2 is there");
        }

        Assert.That(() => new NcclGroup(new LocalGroup()), Throws.TypeOf<DllNotFoundException>().With.Message.Contains("libnccl.so.2"));
    }
}
