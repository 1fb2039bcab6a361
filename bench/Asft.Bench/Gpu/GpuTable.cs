using System.Globalization;
using Asft.Bench.Figures;
using Asft.Kernels.Cuda;

namespace Asft.Bench.Gpu;

/// <summary>What the CUDA kernels promise, counted in the virtual machine: exact, and the same wherever it is counted.</summary>
internal static class GpuTable
{
    /// <summary>Bytes per byte of a logit that a forward pass may move: two reads, and edges, labels and outputs.</summary>
    private const double ForwardBytes = 2 * Slack;

    /// <summary>The same with the gradient: four reads, of which the second two may come from L2, and a write.</summary>
    private const double GradientBytes = 5 * Slack;

    /// <summary>The same of rows that stay on chip, of which the second two come from shared memory: those of a block, and those of a cluster.</summary>
    private const double BlockBytes = 3.10;

    private const double ClusterBytes = 3.05;

    /// <summary>Least share of the bytes of the sectors asked for that is used.</summary>
    private const double SectorEfficiency = 0.98;

    /// <summary>Most instructions per logit of loss and gradient, in bfloat16.</summary>
    private const double Instructions = 40;

    /// <summary>The same under a softcap, of logits that stay below it.</summary>
    private const double SoftcapInstructions = 60;

    /// <summary>Most machine instructions per logit of loss and gradient, in bfloat16, in the loops alone.</summary>
    private const double MachineInstructions = 26;

    /// <summary>Most transcendental operations per logit of loss and gradient.</summary>
    private const double Transcendental = 4;

    /// <summary>Most instructions of rows that do not lie alike, or are of different types, to those of rows that do.</summary>
    private const double Cliff = 1.5;

    private const double Slack = 1.01;

    /// <summary>Counts every case, in parallel.</summary>
    /// <exception cref="UserErrorException">The kernels are not there, or the virtual machine does not know something in them.</exception>
    public static IReadOnlyList<GpuCounts> Count()
    {
        try
        {
            return [.. GpuCase.All.AsParallel().AsOrdered().Select(GpuCounter.Count)];
        }
        catch (AggregateException error) when (error.InnerException is CudaException refused)
        {
            throw new UserErrorException($"The CUDA kernels cannot be counted: {refused.Message}");
        }
    }

    /// <summary>The figures of counts, one line for each kernel and a value in it for each vocabulary.</summary>
    public static FigureSet Figures(IReadOnlyList<GpuCounts> counts) => new(
        "CUDA kernels, executed from the shipped PTX in the virtual machine: ASFT with forward KL, gradient in place",
        [.. counts.GroupBy(c => c.Case.Group).SelectMany(group => Group(group.Key, [.. group], counts)), .. Occupancy(), .. Machine()])
    {
        Counts = counts,
    };

    private static IEnumerable<Figure> Occupancy()
    {
        if (File.Exists(KernelOccupancy.Report) && KernelOccupancy.Least(File.ReadLines(KernelOccupancy.Report)) is { } least)
        {
            yield return new Figure(
                "all but float64: occupancy; spilled bytes", "sm_80, 86, 89, 90", "50 %; 0", "-", $"{least} % at least; 0, or they do not build", least >= 50, least >= 50);
        }
    }

    private static IEnumerable<Figure> Machine()
    {
        if (File.Exists(KernelOccupancy.Report) && MachineInstructionReport.PerElement(File.ReadLines(KernelOccupancy.Report)) is { } measured)
        {
            yield return new Figure(
                "bfloat16 forward+gradient: machine instructions / element, loops alone", "sm_90", "26.0", "22.0", measured.ToString("0.0", CultureInfo.InvariantCulture),
                measured <= MachineInstructions, measured <= 22);
        }
    }

    private static IEnumerable<Figure> Group(string name, GpuCounts[] counts, IReadOnlyList<GpuCounts> all)
    {
        // What is promised is per element, with rows enough for a block each. Blocks that share a row leave records for each other besides.
        GpuCase first = counts[0].Case;
        string size = Size(counts);
        double When(bool promised, double bound) => promised && first.IsPlain ? bound : double.NaN;

        if (!first.Gradient)
        {
            yield return Of($"{name}: bytes, DRAM", size, counts, c => c.DramBytesPerElement / c.Case.ElementBytes, When(true, ForwardBytes), ForwardBytes, "0.00", " x element");
        }

        foreach (IGrouping<double, GpuCounts> alike in counts.Where(c => c.Case.Gradient).GroupBy(c => MostBytes(c.Case)))
        {
            yield return Of(
                $"{name}: bytes, DRAM and L2", Size(alike), [.. alike], c => c.L2BytesPerElement / c.Case.ElementBytes, When(true, alike.Key), 3, "0.00", " x element");
        }

        yield return Efficiency($"{name}: sector efficiency", size, counts, promised: first.IsPlain);
        if (first.Variant is GpuVariant.Float32Reference or GpuVariant.MovedReference)
        {
            GpuCounts plain = all.First(c => c.Case == first with { Variant = GpuVariant.None });
            yield return Of(
                $"{name}: instructions, to those of the fastest path", size, counts, c => c.LaneInstructions / (double)plain.LaneInstructions, Cliff, 1.2, "0.00", " x");
        }

        yield return Of(
            $"{name}: instructions / element", size, counts, c => c.InstructionsPerElement, MostInstructions(first), 25, "0.0", string.Empty);
        yield return Of(
            $"{name}: transcendental / element", size, counts, c => c.TranscendentalPerElement, When(first.Gradient, Transcendental), 3, "0.00", string.Empty);
        string? fault = counts.FirstOrDefault(c => c.Fault is not null)?.Fault;
        yield return new Figure($"{name}: faults", size, "0", "0", fault ?? "0", fault is null, fault is null);
    }

    private static string Size(IEnumerable<GpuCounts> counts) => "V " + string.Join(" / ", counts.Select(c => c.Case.Vocabulary));

    /// <summary>Instructions per logit; not a number where none are promised.</summary>
    private static double MostInstructions(GpuCase counted) => counted switch
    {
        { Gradient: false } or { ElementBytes: 4 } => double.NaN,
        { Variant: GpuVariant.Softcap } => SoftcapInstructions,
        { IsPlain: true } => Instructions,
        _ => double.NaN,
    };

    /// <summary>Bytes per byte of a logit that loss and gradient may ask for.</summary>
    private static double MostBytes(GpuCase counted) => counted switch
    {
        { Architecture: GpuArchitecture.Sm90, Vocabulary: not 50257 } => ClusterBytes,
        { Architecture: GpuArchitecture.Sm80, Vocabulary: 32000, ElementBytes: 2 } => BlockBytes,
        _ => GradientBytes,
    };

    private static Figure Efficiency(string name, string size, GpuCounts[] counts, bool promised)
    {
        string measured = Join(counts, c => 100 * c.SectorEfficiency, "0.0") + " %";
        return promised
            ? new Figure(
                name,
                size,
                $"{100 * SectorEfficiency} %",
                "100 %",
                measured,
                counts.All(c => c.SectorEfficiency >= SectorEfficiency),
                counts.All(c => c.SectorEfficiency >= 0.9995))
            : Figure.Plain(name, size, measured);
    }

    /// <summary>A figure that is compared as it is printed: what a row costs once is no cost per element.</summary>
    private static Figure Of(
        string name, string size, GpuCounts[] counts, Func<GpuCounts, double> value, double must, double aim, string format, string unit)
    {
        if (double.IsNaN(must))
        {
            return Figure.Plain(name, size, Join(counts, value, format) + unit);
        }

        int digits = format.Length - "0.".Length;
        double worst = Math.Round(counts.Max(value), digits);
        return new Figure(
            name,
            size,
            must.ToString(format, CultureInfo.InvariantCulture) + unit,
            aim.ToString(format, CultureInfo.InvariantCulture) + unit,
            Join(counts, value, format) + unit,
            worst <= Math.Round(must, digits),
            worst <= Math.Round(aim, digits));
    }

    private static string Join(GpuCounts[] counts, Func<GpuCounts, double> value, string format) =>
        string.Join(" / ", counts.Select(c => value(c).ToString(format, CultureInfo.InvariantCulture)));
}
