using System.Globalization;

namespace Asft.Bench.Gpu;

/// <summary>Reads how many machine instructions a kernel takes for each logit out of the report that the kernels' build writes.</summary>
internal static class MachineInstructionReport
{
    /// <summary>Loss and gradient of ASFT with forward KL in bfloat16.</summary>
    private const string Kernel = "| bfloat16 | loss_ForwardKl |";

    /// <summary>Those on sm_90, the last of the architectures, of the loop that sums and of the one that writes the gradient.</summary>
    /// <param name="report">The report's lines: <c>| module | kernel | sums + gradient = all | ...</c></param>
    /// <returns>The number; null when the report has none.</returns>
    public static double? PerElement(IEnumerable<string> report) => report
        .Where(line => line.StartsWith(Kernel, StringComparison.Ordinal))
        .Select(line => line.Split('|', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)[^1].Split(" = "))
        .Where(parts => parts.Length == 2)
        .Select(parts => (double?)double.Parse(parts[1], CultureInfo.InvariantCulture))
        .FirstOrDefault();
}
