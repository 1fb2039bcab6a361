using Asft.Bench.Results;

namespace Asft.Bench.Report.Sections;

/// <summary>Where and when, and what is compared with what.</summary>
internal static class IntroductionSection
{
    public static void Write(Page page, ReportData data)
    {
        ResultSet newest = data.Newest;
        Machine machine = newest.Machine;
        page.Heading(2, "Where, and what with");
        page.Paragraph($"`./build.sh report` measured all of this on {newest.Date:yyyy-MM-dd} and wrote this page; every table names the command that measures it alone.");
        page.Table(
            2,
            ["", ""],
            [
                ["processor", $"{machine.Processor}, {machine.Cores} cores, SIMD of {machine.Simd}"],
                ["memory", machine.Memory],
                ["system", machine.Os],
                ["pages", machine.Pages],
                ["runtime", $"{machine.DotNet}, TorchSharp {machine.TorchSharp}"],
                ["Asft", machine.Asft],
                ["kernels", machine.Kernels],
                ["CUDA devices", machine.Cuda],
            ]);
        if (!data.IsOfOneBuild)
        {
            page.Paragraph("**The results are of more than one build or machine**; the above is that of the newest.");
        }

        page.Paragraph("What is compared:");
        page.Table(
            2,
            ["name", "what it is"],
            [
                ["`asft_loss`", "the loss of this project with its default arguments: the gradient in a tensor of its own"],
                ["`asft_loss`, in place", "the same with `inPlace: true`: the gradient takes the place of the logits"],
                ["composed", "the same loss as one writes it today, from `F.cross_entropy`, `F.softmax`, `F.log_softmax`, `F.kl_div` and autograd"],
                [
                    "tuned torch",
                    "the same loss as fast as torch operations were found to make it: no autograd but the gradient by its formula, chunks of rows that "
                    + "stay in the cache, one fused softmax per tensor and everything else from it, in place (`bench/Asft.Bench/Peers/Tuned.cs`)",
                ],
                ["`F.cross_entropy`", "plain SFT, whatever the objective: less work than most of the others do"],
                ["triad", "`c = a + b` over tensors as large as the logits: the memory's limit for two streams in and one out"],
            ]);
    }
}
