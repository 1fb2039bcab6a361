using System.Globalization;
using System.Text;

namespace Asft.KernelCompiler;

/// <summary>The page that says what each kernel takes on each architecture, by two assemblers.</summary>
internal static class KernelReport
{
    /// <summary>Writes the page.</summary>
    /// <param name="uses">All kernels, on all architectures, as NVRTC assembles them.</param>
    /// <param name="later">The same as <see cref="Ptxas"/> does.</param>
    /// <param name="loops">The loops of its machine code.</param>
    /// <returns>Markdown.</returns>
    public static string Write(IReadOnlyList<KernelUse> uses, IReadOnlyList<KernelUse> later, IReadOnlyList<KernelLoops> loops)
    {
        var page = new StringBuilder("""
            # What the kernels take

            Written by `./build.sh kernels` from the assemblers' own reports. Registers of a thread, shared memory of a block in bytes, and the
            theoretical occupancy: how many of the warps that a multiprocessor could hold find room. Spilled registers and local memory: 0 bytes
            everywhere, by both, or the build fails, as it does below an occupancy of 50 % (25 % for float64, which serves for checking).

            ## NVRTC 11.8


            """.ReplaceLineEndings("\n"));
        AddTable(page, uses);
        page.Append($"""

            ## ptxas {CudaTool.Release}

            The PTX that is shipped, as a driver's assembler takes it.


            """.ReplaceLineEndings("\n"));
        AddTable(page, later);
        page.Append($"""

            ## Machine instructions for each logit, by ptxas {CudaTool.Release}

            Of nvdisasm's listing: the loop that sums a row, and the loop that writes its gradient. In each, the fewest instructions of any way round
            that passes its loads and stores of 16 bytes, those that keep tiles in shared memory among them, and an exponential for each logit,
            over the logits of the policy that it treats.


            """.ReplaceLineEndings("\n"));
        page.Append("| module | kernel |").Append(string.Concat(Architecture.All.Select(architecture => $" {architecture.Name} |"))).Append('\n');
        page.Append("| --- | --- |").Append(string.Concat(Architecture.All.Select(_ => " --- |"))).Append('\n');
        foreach (IGrouping<(string Module, string Kernel), KernelLoops> kernel in loops.GroupBy(one => (one.Module, one.Kernel)))
        {
            page.Append(CultureInfo.InvariantCulture, $"| {kernel.Key.Module} | {kernel.Key.Kernel} |");
            page.Append(Cells(kernel, one => one.Architecture, one => one.Figure)).Append('\n');
        }

        return page.ToString();
    }

    private static void AddTable(StringBuilder page, IReadOnlyList<KernelUse> uses)
    {
        page.Append("| module | kernel | threads | shared |");
        page.Insert(page.Length, string.Concat(Architecture.All.Select(architecture => $" {architecture.Name} |"))).Append('\n');
        page.Append("| --- | --- | --- | --- |").Insert(page.Length, string.Concat(Architecture.All.Select(_ => " --- |"))).Append('\n');
        foreach (IGrouping<(string, string), KernelUse> kernel in uses.GroupBy(use => (use.Module, use.Kernel)))
        {
            KernelUse first = kernel.First();
            page.Append(CultureInfo.InvariantCulture, $"| {first.Module} | {first.Kernel} | {first.Threads} | {first.SharedBytes} |");
            page.Append(Cells(kernel, use => use.Architecture, use => string.Create(CultureInfo.InvariantCulture, $"{use.Registers}, {Math.Round(100 * use.Occupancy)} %")));
            page.Append('\n');
        }
    }

    /// <summary>A cell for each architecture; a dash where a module is not for it.</summary>
    private static string Cells<T>(IEnumerable<T> values, Func<T, Architecture> architectureOf, Func<T, string> text)
    {
        Dictionary<Architecture, T> byArchitecture = values.ToDictionary(architectureOf);
        return string.Concat(Architecture.All.Select(
            architecture => byArchitecture.TryGetValue(architecture, out T? value) ? $" {text(value)} |" : " - |"));
    }
}
