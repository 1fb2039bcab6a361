using Asft.Bench.Gpu;

namespace Asft.Bench.Report;

/// <summary><c>docs/gpu.md</c>. It has no date and no machine: the counts are the same wherever they are taken.</summary>
internal static class GpuPage
{
    /// <summary>Name of the file.</summary>
    public const string FileName = "gpu.md";

    /// <summary>The command that writes it.</summary>
    public const string Command = "./build.sh report --gpu";

    /// <summary>Writes the page and its plot.</summary>
    /// <param name="counts">What was counted.</param>
    /// <param name="output">The directory.</param>
    public static void Write(IReadOnlyList<GpuCounts> counts, string output)
    {
        Directory.CreateDirectory(output);
        File.WriteAllText(Path.Combine(output, FileName), Text(counts, GpuTables.Plot(new PlotFolder(output), counts)));
    }

    /// <summary>Whether the page in a directory is the one that these counts give.</summary>
    public static bool IsCurrent(IReadOnlyList<GpuCounts> counts, string output)
    {
        string path = Path.Combine(output, FileName);
        return File.Exists(path) && File.ReadAllText(path).ReplaceLineEndings("\n") == Text(counts, PlotFolder.PathOf("gpu-roofline"));
    }

    private static string Text(IReadOnlyList<GpuCounts> counts, string plot)
    {
        var page = new Page();
        page.Heading(1, "The CUDA kernels: what they do, and how long that should take");
        page.Paragraph(
            "**The times on this page are a model until a GPU has run the kernels.** What is counted is exact: a virtual machine "
            + "(`tools/Asft.PtxVm`) executes the PTX that Asft ships, instruction by instruction, with every check on. What follows from "
            + $"the counts is arithmetic. `{Command}` counts again and writes this page; `./build.sh bench --check`, which CI runs, fails when the page is not the one that "
            + "the kernels' counts give. How to use the kernels is in [cuda.md](cuda.md).");

        page.Heading(2, "What is counted");
        page.Figures(GpuTable.Figures(counts));
        page.Command("./build.sh bench --filter Gpu");
        page.Paragraph(
            "Four rows on a machine that launches are shaped for as for a GPU with more rows than multiprocessors, two rows shared by several blocks each, and rows that do not take the fastest path. "
            + "Logits are random between -6 and 6; the softcap is 30, and 5 where they reach it. "
            + "*Bytes, DRAM* are the distinct 32-byte sectors that a launch touches. *Bytes, DRAM and L2* are all sectors that its loads and stores ask for: 3 x is each of policy, reference and gradient once. *Sector efficiency* is the share of those bytes that is used. *Instructions* are PTX instructions of a thread, guarded-off ones not "
            + "counted, over N·V; what a row costs once is spread over its elements, so they are fewer with a larger vocabulary. *Transcendental* are ex2, lg2, rcp and divisions. Registers and occupancy of each kernel are in [kernels/report.md](../kernels/report.md), "
            + "float64 included, which serves for checking and which the figure leaves out.");

        page.Heading(2, "From counts to time");
        page.Paragraph("Per logit, a kernel needs of a GPU:");
        page.Table(
            1,
            ["resource", "how much", "what the GPU has"],
            [
                ["DRAM", "distinct sectors read and written, and the second reads that L2 cannot serve", "published bandwidth"],
                ["L2", "all sectors of loads and stores", "bandwidth, published for the A100 only"],
                ["issue", "instructions of warps", $"{GpuDevice.IssuePerClock} per clock and multiprocessor"],
                ["float32", "float32 arithmetic of threads", "64 per clock and multiprocessor on the A100, 128 on the others"],
                ["integer", "integer arithmetic, logic, comparisons, conversions of threads", $"{GpuDevice.IntegerPerClock} per clock and multiprocessor"],
                ["special", "ex2, lg2, rcp of threads", $"{GpuDevice.SpecialPerClock} per clock and multiprocessor"],
            ]);
        page.Paragraph(
            "Amount over peak is a time for each resource; the kernel cannot be faster than the slowest of them, and the model says that it takes just that long, "
            + "everything else hidden behind it.");
        page.Paragraph(
            $"*The second read.* The gradient reads its row a second time. A block keeps what it has read in shared memory as far as there is room, of which it may have 163 KiB on an A100, 99 on an RTX 4090 and "
            + "227 on an H100; there, where a row is too long for one block, the 2 to 16 blocks of a cluster keep a part of it each. What was not kept comes from L2, which holds what the "
            + $"{GpuDevice.ThreadsPerMultiprocessor:N0} threads that a multiprocessor runs at once, and all other multiprocessors, have not kept of their rows, or from DRAM once more: the model takes the share of those bytes that L2 has room for "
            + "as served by L2. The gradient goes through a row backward, so that what was read last is read again first, and what is kept is marked to leave the caches first.");
        GpuTables.Devices(page);
        foreach (GpuDevice device in GpuDevice.All)
        {
            page.Paragraph($"- {device.Name}: {device.Sources}.");
        }

        page.Paragraph("Throughputs per clock are those of the table of arithmetic instructions in NVIDIA's CUDA C++ Programming Guide, for compute capability 8.0, 9.0 and 8.9.");

        page.Heading(2, "What follows");
        page.Image(plot, "Roofline of the CUDA kernels on three GPUs, and the time of each resource: a model");
        page.Paragraph($"{Numbers.Whole(GpuTables.Tokens)} tokens. A marker on its roof is bound by DRAM (slope) or by issue (flat part); one below it by another resource.");
        GpuTables.Prediction(page, counts);

        page.Heading(2, "What the model leaves out");
        page.Paragraph(
            "- PTX is not what runs: the driver's assembler merges, splits and reorders instructions. Moves and address conversions mostly vanish, and some comparisons come with more.\n"
            + "- Latency, and whether there are warps enough to hide it; barriers between the two passes over a row.\n"
            + "- Peaks are not reached: DRAM gives some 90 % of its published bandwidth to a copy, and clocks fall under load.\n"
            + "- Launches (a few microseconds each), and multiprocessors that idle while the last rows finish.\n"
            + "- Replacement in L2 is not the ideal that the share of hits stands for; the written gradient passes through L2 too; and the L2 of the A100 and H100 is in two halves, "
            + "so that a line wanted in both may take up room in both.\n"
            + "- A model that leaves things out errs on the fast side: take the predicted times for a bound, and the order of the resources for the hint where to look.");
        LinearTables.Section(page);
        page.Heading(2, "On a GPU");
        page.Paragraph(
            "`./build.sh gpu` checks every golden case and some thousand random problems on the GPU, through the driver and without TorchSharp, and measures: every objective, forward and "
            + "forward + gradient, in bfloat16, float16 and float32, at vocabularies from 32,000 to 262,144, and ASFT in bfloat16 from 1 row to 16,384. Each time stands with its GB/s, the "
            + "matrices read and written once each over the time, and its share of what a copy on the same card reaches. `report.md` and `report.json` go to `out/gpu-report`; the exit code is 0 "
            + "when every check passed. Where there is no driver, it runs on the virtual machine, in tiny sizes, as CI does: the checks count, the times mean nothing.");
        page.Paragraph(
            "`./build.sh gpu --publish` puts that program into `out/gpu`, which needs neither .NET nor this repository: copy the folder to the machine and start `Asft.GpuCheck`. For leaks and "
            + "accesses out of bounds as NVIDIA sees them: `compute-sanitizer --leak-check full out/gpu/Asft.GpuCheck`. It has run on no GPU yet.");
        page.Heading(2, "The second assembler");
        page.Paragraph(
            "A driver assembles the PTX that is shipped, with an assembler of its own age. `./build.sh kernels` therefore asks two: that of NVRTC 11.8, which the PTX comes from, and ptxas 12.4. "
            + "Neither may spill. [kernels/report.md](../kernels/report.md) has the registers and the occupancy by both.");
        page.Paragraph(
            "It also has the machine instructions of the two loops over a row, by ptxas and for each architecture, out of the listing that nvdisasm makes. A graph of the control flow is built from "
            + "the listing's branches, and its natural loops are found by dominators; a loop over a row is one that has loads of 16 bytes, the gradient's has stores of 16 bytes as well. Of all ways round such "
            + "a loop that pass those loads and stores and an exponential for each logit, the one with the fewest instructions counts, those whose predicate is false included: it is the way of a chunk of "
            + "ordinary logits, without the careful branches. What a row costs once is not in it.");
        page.Heading(2, "Next to torch");
        page.Paragraph(
            "Where TorchSharp finds a CUDA device, `./build.sh bench --filter '*Loss*' --axis vocabulary` measures the same kernels on it, next to composed TorchSharp on the "
            + "same device and a triad for its memory; `./build.sh report` puts them into [benchmarks.md](benchmarks.md).");
        return page.ToString();
    }
}
