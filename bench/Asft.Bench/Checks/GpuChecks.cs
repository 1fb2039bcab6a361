using Asft.Bench.Gpu;
using Asft.Bench.Report;

namespace Asft.Bench.Checks;

/// <summary>What the CUDA kernels must hold by <see cref="GpuTable"/>, counted in the virtual machine; exact, so that no bound needs room.</summary>
internal static class GpuChecks
{
    /// <summary>The checks.</summary>
    /// <param name="documents">Where gpu.md is.</param>
    public static IReadOnlyList<Check> All(string documents)
    {
        IReadOnlyList<GpuCounts> all = GpuTable.Count();
        GpuCounts[] promised = [.. all.Where(c => !c.Case.IsShared)];
        GpuCounts[] forward = [.. promised.Where(c => !c.Case.Gradient)];
        GpuCounts[] gradient = [.. promised.Where(c => c.Case.Gradient)];
        GpuCounts[] half = [.. gradient.Where(c => c.Case.ElementBytes == 2)];
        return
        [
            Most("CUDA forward, reads of DRAM per element", GpuTable.ForwardBytes, "x element", forward, c => c.DramBytesPerElement / c.Case.ElementBytes),
            Most("CUDA forward+gradient, reads and writes per element", GpuTable.GradientBytes, "x element", gradient, c => c.L2BytesPerElement / c.Case.ElementBytes),
            new("CUDA sector efficiency", GpuTable.SectorEfficiency, true, "of the bytes", 1, () => promised.Min(c => c.SectorEfficiency)),
            Most("CUDA forward+gradient, bfloat16, instructions per element", GpuTable.Instructions, string.Empty, half, c => c.InstructionsPerElement),
            Most("CUDA forward+gradient, transcendental per element", GpuTable.Transcendental, string.Empty, gradient, c => c.TranscendentalPerElement),
            new("CUDA faults", 0, false, "kernels", 1, () => all.Count(c => c.Fault is not null)),
            new($"{documents}/{GpuPage.FileName} out of date with these counts ({GpuPage.Command} writes it)", 0, false, "pages", 1, () => GpuPage.IsCurrent(all, documents) ? 0 : 1),
        ];
    }

    private static Check Most(string name, double bound, string unit, GpuCounts[] counts, Func<GpuCounts, double> value) =>
        new(name, bound, false, unit, 1, () => Math.Round(counts.Max(value), 2)); // what a row costs once is no cost per element
}
