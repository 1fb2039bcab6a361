using Asft.Bench.Gpu;

namespace Asft.Bench.Report;

/// <summary>The linear loss on a GPU: arithmetic over its blocks, as the products are torch's and nothing of them is counted here.</summary>
internal static class LinearTables
{
    private const double Rows = 8192;
    private const double Width = 4096;
    private const double Words = 128256;
    private const double BlockRows = 1024;

    /// <summary>
    /// Bytes that a logit of the policy costs beyond the products' arithmetic, with a reference under the same head, all of it float32 but for the
    /// gradient as an operand: 8 written by the product, 12 read by the kernel (both, and the policy's once more for its gradient) and 4 written, 4
    /// read and 2 written to round it, and 2 read by each of two products.
    /// </summary>
    private const double LogitBytes = 8 + 12 + 4 + 4 + 2 + 2 + 2;

    /// <summary>Peak of the tensor cores in 10^12 operations per second, bfloat16 with float32 sums, no sparsity.</summary>
    private static readonly (string Device, double Teraflops)[] s_peaks = [("A100 SXM 80 GB", 312), ("H100 SXM", 989), ("RTX 4090", 165)];

    /// <summary>The section.</summary>
    public static void Section(Page page)
    {
        page.Heading(2, "The linear loss");
        page.Paragraph(
            "**Nothing here has run on a GPU, and nothing here is counted by the virtual machine: the products are torch's.** Tests count launches and waits at their seams, on tensors without contents "
            + "and of the real size: 8,192 tokens, V = 128,256, d = 4,096, bfloat16 or float16, a sixth of the labels ignored. A forward and backward pass is 7 blocks and starts 84 kernels and copies in bfloat16, "
            + "98 with a reference, at most 154 in float16; the host waits once, for the labels. The arithmetic below is for the same with all 8,192 tokens, ASFT, a reference under the same head and blocks of 1,024 rows: four products of 2 · N · V · d operations at the tensor "
            + "cores' peak; the gradient of the weight, float32, read and written once a block; and what logits and their gradient move through memory.");
        page.Table(
            1,
            ["GPU", "bfloat16 peak, TFLOP/s", "products, ms", "d weight, ms", "logits, ms", "sum, ms", "products in float32, ms"],
            from peak in s_peaks
            let device = GpuDevice.All.First(device => device.Name == peak.Device)
            let operations = 4 * 2 * Rows * Words * Width
            let products = operations / (peak.Teraflops * 1e12)
            let gradient = Rows / BlockRows * Words * Width * 8 / (device.DramGBs * 1e9)
            let logits = Rows * Words * LogitBytes / (device.DramGBs * 1e9)
            let single = operations / (device.Multiprocessors * device.Float32PerClock * 2.0 * device.ClockGHz * 1e9)
            select (IReadOnlyList<string>)
            [
                peak.Device,
                Numbers.Whole(peak.Teraflops),
                Numbers.Milliseconds(products),
                Numbers.Milliseconds(gradient),
                Numbers.Milliseconds(logits),
                Numbers.Milliseconds(products + gradient + logits),
                Numbers.Milliseconds(single),
            ]);
        page.Paragraph(
            "The sum is a bound only if nothing overlaps; the gradient of the weight is written by a product and partly hidden behind it. Left out: that products do not reach their peak; the weight itself, "
            + "read twice a block; and launches. The peaks are of NVIDIA's data sheets. What has to be seen on a GPU is listed in [linear-loss.md](linear-loss.md#on-a-cuda-device).");
    }
}
