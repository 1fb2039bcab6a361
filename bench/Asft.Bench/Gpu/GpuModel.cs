namespace Asft.Bench.Gpu;

/// <summary>A resource of a GPU, and how long a kernel would take if it needed nothing else.</summary>
/// <param name="Name">The resource.</param>
/// <param name="Milliseconds">The time.</param>
public sealed record GpuResource(string Name, double Milliseconds);

/// <summary>
/// How long a kernel should take on a GPU: as long as its busiest resource, each at its published peak, everything else hidden behind it.
/// No kernel is faster than that; how much slower one is, only a GPU can tell.
/// </summary>
/// <param name="Device">The GPU.</param>
/// <param name="Case">The kernel.</param>
/// <param name="Tokens">Rows.</param>
/// <param name="Resources">Each resource's time.</param>
/// <param name="CacheHits">Share of the second reads that L2 can serve, by its size.</param>
public sealed record GpuModel(GpuDevice Device, GpuCase Case, long Tokens, IReadOnlyList<GpuResource> Resources, double CacheHits)
{
    /// <summary>Names of the resources, in the order of <see cref="Resources"/>.</summary>
    public static IReadOnlyList<string> Names { get; } = ["DRAM", "L2", "issue", "float32", "integer", "special"];

    /// <summary>The busiest resource.</summary>
    public GpuResource Bound => Resources.MaxBy(resource => resource.Milliseconds)!;

    /// <summary>Predicts.</summary>
    /// <param name="device">The GPU.</param>
    /// <param name="counts">What the kernel does for a few rows.</param>
    /// <param name="tokens">Rows; so many that all multiprocessors are busy.</param>
    public static GpuModel Of(GpuDevice device, GpuCounts counts, long tokens)
    {
        double elements = (double)tokens * counts.Case.Vocabulary;
        double perElement = elements / counts.Case.Elements;
        double hits = Hits(device, counts, tokens);
        double dram = (counts.DistinctRead + counts.DistinctWritten + ((1 - hits) * SecondReads(counts))) * GpuCounts.SectorBytes * perElement;
        double l2 = (counts.LoadSectors + counts.StoreSectors) * (double)GpuCounts.SectorBytes * perElement;
        double clocks = device.Multiprocessors * device.ClockGHz * 1e9;
        return new GpuModel(
            device,
            counts.Case,
            tokens,
            [
                new(Names[0], 1e3 * dram / (device.DramGBs * 1e9)),
                new(Names[1], 1e3 * l2 / (device.L2GBs * 1e9)),
                new(Names[2], 1e3 * counts.WarpInstructions * perElement / (GpuDevice.IssuePerClock * clocks)),
                new(Names[3], 1e3 * counts.Float32 * perElement / (device.Float32PerClock * clocks)),
                new(Names[4], 1e3 * counts.Integer * perElement / (GpuDevice.IntegerPerClock * clocks)),
                new(Names[5], 1e3 * counts.Transcendental * perElement / (GpuDevice.SpecialPerClock * clocks)),
            ],
            hits);
    }

    /// <summary>Sectors that are read again, in the same launch.</summary>
    private static double SecondReads(GpuCounts counts) => Math.Max(0, counts.LoadSectors - counts.DistinctRead);

    /// <summary>
    /// A second read hits when what is read again of all rows that are worked on at a time fits into L2; where it does not, as much of it as
    /// fits. (The second pass goes backward, so that what was read last is read again first; what is kept on chip leaves the cache first.)
    /// </summary>
    private static double Hits(GpuDevice device, GpuCounts counts, long tokens)
    {
        double rows = Math.Min(tokens, (double)device.Multiprocessors * GpuDevice.ThreadsPerMultiprocessor / counts.RowThreads);
        double bytes = rows * SecondReads(counts) * GpuCounts.SectorBytes / counts.Case.Rows;
        return Math.Min(1, device.L2MB * 1e6 / bytes);
    }
}
