using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop.Tests;

/// <summary>A reference on another device. The meta device is one that every machine has; its tensors have no values.</summary>
public class TokenReferenceDeviceTests : TorchTest
{
    private static readonly Device s_meta = META;

    private static IEnumerable<string> Kinds => References().Keys;

    [TestCaseSource(nameof(Kinds))]
    public void EveryTensorIsMoved(string kind)
    {
        TokenReference here = References()[kind];
        TokenReference there = here.to(s_meta);
        Assert.That(there, Is.TypeOf(here.GetType()).And.Not.SameAs(here));
        Assert.That(there.Tensors, Has.Count.EqualTo(here.Tensors.Count).And.All.Matches<Tensor>(tensor => tensor is { device_type: DeviceType.META }));
        foreach ((Tensor moved, Tensor left) in there.Tensors.Zip(here.Tensors))
        {
            Assert.That((moved.shape, moved.dtype), Is.EqualTo((left.shape, left.dtype)));
            Assert.That(left.device_type, Is.EqualTo(DeviceType.CPU), "what was given stays where it is");
        }
    }

    [TestCaseSource(nameof(Kinds))]
    public void WhatIsThereAlreadyIsTheSame(string kind)
    {
        TokenReference here = References()[kind];
        Assert.That(here.to(CPU), Is.SameAs(here));
        TokenReference there = here.to(s_meta);
        Assert.That(there.to(s_meta), Is.SameAs(there));
    }

    /// <summary>A batch from a cache beside a head that is on the device from the beginning.</summary>
    [Test]
    public void OnlyWhatIsElsewhereIsMoved()
    {
        Tensor weight = zeros([5, 4], device: s_meta);
        TokenReference moved = TokenReference.Hidden(zeros(2, 4), weight).to(s_meta);
        Assert.That(moved.Tensors[1], Is.SameAs(weight));
        Assert.That(moved.Tensors[0].device_type, Is.EqualTo(DeviceType.META));
    }

    [Test]
    public void NoDeviceIsRefused() => Assert.Throws<ArgumentNullException>(() => TokenReference.Logits(zeros(1, 2)).to(null!));

    private static Dictionary<string, TokenReference> References() => new()
    {
        ["tensor"] = zeros(2, 4),
        ["logits"] = TokenReference.Logits(zeros(2, 4, ScalarType.BFloat16)),
        ["hidden"] = TokenReference.Hidden(zeros(2, 4)),
        ["hidden and weight"] = TokenReference.Hidden(zeros(2, 4), zeros(5, 4)),
        ["hidden and head"] = TokenReference.Hidden(zeros(2, 4), zeros(5, 4), zeros(5)),
        ["labels"] = TokenReference.LabelLogProbabilities(zeros(2)),
        ["top-k"] = TokenReference.TopK(zeros([2, 1], ScalarType.Int64), zeros(2, 1)),
    };
}
