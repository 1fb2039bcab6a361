using static TorchSharp.torch;

namespace Asft.Interop.Tests.Cache;

/// <summary>What a cache was made from: fingerprints tell it apart, and a cache of something else is refused.</summary>
public class CacheIdentityTests : CacheTest
{
    [Test]
    public void AnotherIdentityIsRefusedByName()
    {
        Make(References()).Dispose();
        (ReferenceCacheIdentity Identity, string Says, string[] Silent)[] others =
        [
            (Identity with { Model = "model 2" }, "another model (cached model 1, now model 2)", ["another head", "another data set"]),
            (Identity with { Head = "head 2" }, "another head (cached head 1, now head 2)", ["another model", "another data set"]),
            (Identity with { DataSet = "data 2" }, "another data set (cached data 1, now data 2)", ["another model", "another head"]),
            (Identity with { Model = "m", DataSet = "d" }, "another model (cached model 1, now m) and another data set (cached data 1, now d)", ["another head"]),
        ];
        foreach ((ReferenceCacheIdentity identity, string says, string[] silent) in others)
        {
            foreach (Action open in (Action[])[() => ReferenceCache.Open(Folder, identity), () => OpenWriter(identity).Dispose()])
            {
                string message = Refused(open).Message;
                Assert.That(message, Does.Contain(says));
                foreach (string text in silent)
                {
                    Assert.That(message, Does.Not.Contain(text));
                }
            }
        }
    }

    /// <summary>A name is found again on the disk as it was given, or it is refused.</summary>
    [Test]
    public void NamesAreText()
    {
        var identity = new ReferenceCacheIdentity("\ud83d\ude00 \"model\"", "\u0000\uffff", string.Empty);
        OpenWriter(identity, examples: 0).Dispose();
        ReferenceCache.Open(Folder, identity).Dispose();
        foreach (string half in (string[])["a\ud83d", "\ude00b", "\ude00\ud83d"])
        {
            Assert.That(Argument(() => _ = new ReferenceCacheIdentity(half, "", "")).ParamName, Is.EqualTo("Model"));
            Assert.That(Argument(() => _ = identity with { Head = half }).ParamName, Is.EqualTo("Head"));
            Assert.That(Argument(() => _ = identity with { DataSet = half }).ParamName, Is.EqualTo("DataSet"));
        }

        Assert.That(Argument(() => _ = new ReferenceCacheIdentity("", null!, "")).ParamName, Is.EqualTo("Head"));
    }

    [Test]
    public void FingerprintsTellApart()
    {
        Tensor weight = randn(4, 3);
        string[] all =
        [
            Fingerprint.Of(weight),
            Fingerprint.Of(weight, null),
            Fingerprint.Of(weight, weight),
            Fingerprint.Of(weight.reshape(3, 4)),
            Fingerprint.Of(weight.to(ScalarType.Float64)),
            Fingerprint.Of(weight + 1),
            Fingerprint.Of([[1, 2], [3]]),
            Fingerprint.Of([[1], [2, 3]]),
            Fingerprint.Of([[3], [1, 2]]),
        ];
        Assert.That(all, Is.Unique.And.All.Matches("^[0-9a-f]{64}$"));
        Assert.That(Fingerprint.Of(weight.t().contiguous().t()), Is.EqualTo(all[0]), "strides are not contents");

        using TorchSharp.Modules.Linear module = nn.Linear(3, 4);
        string before = Fingerprint.Of(module);
        Assert.That(Fingerprint.Of(module), Is.EqualTo(before));
        using (no_grad())
        {
            module.weight.add_(1);
        }

        Assert.That(Fingerprint.Of(module), Is.Not.EqualTo(before));
    }
}
