using Asft.Bench.Gpu;
using Asft.Bench.Report;
using Asft.Kernels;

namespace Asft.Bench.Tests;

public class GpuModelTests
{
    private const int Vocabulary = 64000;

    private static readonly GpuCase s_case = new(ElementType.BFloat16, Vocabulary, Gradient: true);

    /// <summary>Per logit: 10 instructions of a thread, 4 of them float32, 3 integer, 1 special; two reads twice and a write of 2 bytes each.</summary>
    private static readonly GpuCounts s_counts = new(
        s_case,
        Launches: 1,
        RowThreads: 512,
        WarpInstructions: s_case.Elements * 10 / 32,
        LaneInstructions: s_case.Elements * 10,
        Float32: s_case.Elements * 4,
        Integer: s_case.Elements * 3,
        Transcendental: s_case.Elements,
        LoadSectors: s_case.Elements * 8 / 32,
        StoreSectors: s_case.Elements * 2 / 32,
        LoadUseful: s_case.Elements * 8,
        StoreUseful: s_case.Elements * 2,
        DistinctRead: s_case.Elements * 4 / 32,
        DistinctWritten: s_case.Elements * 2 / 32,
        BankConflicts: 0,
        Fault: null);

    /// <summary>One multiprocessor at 1 GHz, with 1 GB/s of everything and an L2 that holds all rows in flight.</summary>
    private static readonly GpuDevice s_device = new("test", GpuArchitecture.Sm80, 1, 1, 1, 1, 1000, 64, "none");

    [Test]
    public void Each_resource_takes_its_amount_over_its_peak()
    {
        GpuModel model = GpuModel.Of(s_device, s_counts, tokens: 1000);
        double elements = 1000.0 * Vocabulary;
        double[] seconds =
        [
            elements * 6 / 1e9, // DRAM: two reads and a write of 2 bytes
            elements * 10 / 1e9, // L2: the second reads too
            elements * 10 / 32 / 4e9,
            elements * 4 / 64e9,
            elements * 3 / 64e9,
            elements / 16e9,
        ];
        Assert.That(model.Resources.Select(resource => resource.Milliseconds), Is.EqualTo(seconds.Select(s => s * 1e3)).Within(1e-9));
        Assert.That(model.Bound.Name, Is.EqualTo("L2"));
        Assert.That(model.CacheHits, Is.EqualTo(1));
    }

    [Test]
    public void What_does_not_fit_into_L2_is_read_from_memory_again()
    {
        // Two blocks in flight, two rows each of 128,000 bytes: a cache of 256,000 bytes has room for half.
        GpuModel model = GpuModel.Of(s_device with { L2MB = 0.256 }, s_counts, tokens: 1000);
        Assert.That(model.CacheHits, Is.EqualTo(0.5));
        Assert.That(model.Resources[0].Milliseconds, Is.EqualTo(1000.0 * Vocabulary * (6 + (0.5 * 4)) / 1e6).Within(1e-9));

        // One larger block is all that a multiprocessor runs, and its rows fit.
        Assert.That(GpuModel.Of(s_device with { L2MB = 0.256 }, s_counts with { RowThreads = 1024 }, tokens: 1000).CacheHits, Is.EqualTo(1));
    }

    [Test]
    public void Counts_are_per_logit()
    {
        Assert.That(s_counts.InstructionsPerElement, Is.EqualTo(10));
        Assert.That(s_counts.TranscendentalPerElement, Is.EqualTo(1));
        Assert.That(s_counts.DramBytesPerElement, Is.EqualTo(6));
        Assert.That(s_counts.L2BytesPerElement, Is.EqualTo(10));
        Assert.That(s_counts.SectorEfficiency, Is.EqualTo(1));
    }

    [Test]
    public void A_kernel_that_does_too_much_misses_its_figures()
    {
        Assert.That(GpuTable.Figures([s_counts]).Figures.All(figure => figure.Holds), Is.True);
        string[] Missed(GpuCounts counts) => [.. GpuTable.Figures([counts]).Figures.Where(f => !f.Holds).Select(f => f.Name.Split(": ")[1])];
        Assert.That(Missed(s_counts with { LaneInstructions = s_case.Elements * 41 }), Is.EqualTo(new[] { "instructions / element" }));
        Assert.That(Missed(s_counts with { Transcendental = s_case.Elements * 5 }), Is.EqualTo(new[] { "transcendental / element" }));
        Assert.That(Missed(s_counts with { LoadUseful = s_case.Elements * 7 }), Is.EqualTo(new[] { "sector efficiency" }));
        Assert.That(Missed(s_counts with { Fault = "Race" }), Is.EqualTo(new[] { "faults" }));
        GpuCounts wasteful = s_counts with { LoadSectors = s_case.Elements * 9 / 32, LoadUseful = s_case.Elements * 9 };
        Assert.That(Missed(wasteful), Is.EqualTo(new[] { "bytes, DRAM and L2" }));
    }

    [Test]
    public void The_least_occupancy_is_that_of_the_worst_kernel_and_architecture()
    {
        string[] report =
        [
            "| module | kernel | threads | shared | sm_80 | sm_90 |",
            "| float32 | loss | 512 | 616 | 56, 50 % | 53, 67 % |",
            "| bfloat16 | rescale | 512 | 0 | 40, 100 % | 90, 33 % |",
            "| float64 | loss | 512 | 616 | 120, 25 % | 120, 25 % |",
        ];
        Assert.That(KernelOccupancy.Least(report), Is.EqualTo(33));
        Assert.That(KernelOccupancy.Least(report[..1]), Is.Null);
    }

    [Test]
    public void The_machine_instructions_are_those_of_the_last_architecture()
    {
        string[] report =
        [
            "| bfloat16 | loss_ForwardKl | 1024 | 1944 | 64, 50 % | 64, 50 % |",
            "| bfloat16 | loss_ForwardKl_general | 20.1 + 10.6 = 30.8 | 20.4 + 10.9 = 31.2 |",
            "| bfloat16 | loss_ForwardKl | 13.9 + 10.1 = 23.9 | 13.4 + 10.2 = 23.6 |",
        ];
        Assert.That(MachineInstructionReport.PerElement(report), Is.EqualTo(23.6));
        Assert.That(MachineInstructionReport.PerElement(report[..2]), Is.Null);
    }

    [Test]
    public void The_page_is_current_until_the_counts_change()
    {
        GpuCase plotted = s_case with { Vocabulary = 32000 };
        GpuCounts[] counts = [s_counts with { Case = plotted }, s_counts with { Case = plotted with { Gradient = false } }];
        string directory = Directory.CreateTempSubdirectory().FullName;
        try
        {
            Assert.That(GpuPage.IsCurrent(counts, directory), Is.False, "there is none");
            GpuPage.Write(counts, directory);
            Assert.That(GpuPage.IsCurrent(counts, directory), Is.True);
            Assert.That(GpuPage.IsCurrent([counts[0] with { Float32 = counts[0].Float32 * 2 }, counts[1]], directory), Is.False);
            Assert.That(File.Exists(Path.Combine(directory, "benchmarks", "gpu-roofline.png")), Is.True);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
