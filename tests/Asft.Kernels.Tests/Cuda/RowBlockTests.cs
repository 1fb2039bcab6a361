using Asft.Kernels.Cuda;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>What works on a row, by what there is of shared memory.</summary>
[Parallelizable]
public class RowBlockTests
{
    private static readonly CudaDevice s_a100 = MachineKernel.DeviceWith(multiprocessors: 108);
    private static readonly CudaDevice s_geForce = s_a100 with { Minor = 9, SharedBytes = 99 << 10 };
    private static readonly CudaDevice s_h100 = s_a100 with { Major = 9, SharedBytes = 227 << 10 };

    [TestCase(1_000, ElementType.BFloat16, false, 512u, 1, true)] // two rows at a time
    [TestCase(32_000, ElementType.BFloat16, true, 512u, 2, true)] // 125 KiB
    [TestCase(50_257, ElementType.BFloat16, false, 512u, 1, true)]
    [TestCase(50_257, ElementType.BFloat16, true, 512u, 2, true)] // 196 KiB
    [TestCase(151_936, ElementType.BFloat16, false, 512u, 4, true)]
    [TestCase(151_936, ElementType.BFloat16, true, 512u, 8, true)] // 594 KiB
    [TestCase(262_144, ElementType.BFloat16, true, 1024u, 8, true)] // 1 MiB
    [TestCase(151_936, ElementType.Float32, true, 1024u, 8, true)]
    [TestCase(262_144, ElementType.Float32, true, 1024u, 16, true)]
    [TestCase(1_000_000, ElementType.Float32, true, 1024u, 1, false)] // longer than any cluster keeps
    [TestCase(32_000, ElementType.Float64, true, 512u, 1, false)] // no clusters
    public void OnAnH100(int vocabulary, ElementType type, bool reads, uint threads, int blocks, bool isWhole)
    {
        RowBlock block = Of(vocabulary, type, reads, s_h100);
        Assert.That((block.Threads, block.Blocks), Is.EqualTo((threads, blocks)));
        long tiles = vocabulary / Tile(type);
        Assert.That((long)block.KeptTiles * block.Blocks, isWhole ? Is.AtLeast(tiles) : Is.LessThan(tiles));
        Check(block, type, reads, s_h100);
    }

    [TestCase(20_000, true, 512u)]
    [TestCase(32_000, true, 1024u)]
    [TestCase(151_936, true, 1024u)]
    public void OnAnA100(int vocabulary, bool reads, uint threads)
    {
        RowBlock block = Of(vocabulary, ElementType.BFloat16, reads, s_a100);
        Assert.That((block.Threads, block.Blocks), Is.EqualTo((threads, 1)), "no clusters");
        Assert.That(block.KeptTiles, Is.EqualTo(Math.Min(vocabulary / Tile(ElementType.BFloat16), 80)), "as much as finds room");
        Check(block, ElementType.BFloat16, reads, s_a100);
    }

    [Test]
    public void OnACardWithLess([Values(4_000, 32_000, 151_936)] int vocabulary, [Values] bool reads, [Values] ElementType type) =>
        Check(Of(vocabulary, type, reads, s_geForce), type, reads, s_geForce);

    [Test]
    public void ASmallerClusterKeepsWhatItCan()
    {
        var choice = new KernelChoice("float32", ReferenceUse.ForwardKl, KernelForm.Fast);
        var block = RowBlock.Of(262_144, ElementType.Float32, choice, s_h100, mostBlocks: 8);
        Assert.That((block.Blocks, block.KeptTiles > 0), Is.EqualTo((1, true)));
    }

    /// <summary>A reference of which the gradient needs nothing is not kept; and there are no kernels for clusters.</summary>
    [Test]
    public void BesideARatioThePolicyIsKept([Values(32_000, 151_936)] int vocabulary)
    {
        var block = RowBlock.Of(vocabulary, ElementType.BFloat16, new KernelChoice("bfloat16", ReferenceUse.Sum, KernelForm.General), s_h100);
        Assert.That((block.Blocks, block.SharedBytes), Is.EqualTo((1, block.KeptTiles * KernelForm.General.TileOf(ElementType.BFloat16) * 2)));
        Assert.That(block.KeptTiles, Is.EqualTo(Math.Min(vocabulary, (224 << 10) / 2) / KernelForm.General.TileOf(ElementType.BFloat16)));
    }

    private static RowBlock Of(int vocabulary, ElementType type, bool reads, CudaDevice device) =>
        RowBlock.Of(vocabulary, type, new KernelChoice(KernelChoice.ModuleOf(type), reads ? ReferenceUse.ReverseKl : ReferenceUse.None, KernelForm.Fast), device);

    private static int Tile(ElementType type) => KernelForm.Fast.TileOf(type);

    private static void Check(RowBlock block, ElementType type, bool reads, CudaDevice device)
    {
        int atOnce = type != ElementType.Float64 && block.Threads == 512 ? 2 : 1;
        Assert.That(block.SharedBytes, Is.EqualTo(block.KeptTiles * Tile(type) * type.SizeInBytes() * (reads ? 2 : 1)));
        Assert.That(atOnce * (block.SharedBytes + RowBlock.DeclaredBytes + 1024), Is.AtMost(device.SharedBytes + 1024));
        Assert.That(block.TilesPerBlock, block.Blocks == 1 ? Is.Zero : Is.EqualTo(block.KeptTiles));
    }
}
