namespace Asft.Bench.Report.Sections;

/// <summary>What the CUDA kernels should take on GPUs, from the virtual machine's counts.</summary>
internal static class GpuSection
{
    public static void Write(Page page, ReportData data, PlotFolder plots)
    {
        page.Heading(2, "On GPUs: a model");
        if (data.Find("gpu") is not { Table.Counts: { } counts } set)
        {
            page.Paragraph("Not counted.");
            return;
        }

        page.Paragraph(
            "No GPU has run the CUDA kernels here. A virtual machine executes the PTX that Asft ships, checks what a GPU would not forgive, and counts; "
            + "from the counts and published peak figures follows what a kernel cannot beat. [gpu.md](gpu.md) derives it, and has the figures that the kernels promise.");
        page.Image(GpuTables.Plot(plots, counts), "Roofline of the CUDA kernels on three GPUs, and the time of each resource: a model");
        GpuTables.Prediction(page, counts);
        page.Command(set.Command);
    }
}
