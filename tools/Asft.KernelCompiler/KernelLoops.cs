using System.Globalization;
using Asft.KernelCompiler.Sass;

namespace Asft.KernelCompiler;

/// <summary>What a kernel that computes loss and gradient of rows does for each logit, in machine instructions.</summary>
/// <param name="Module">Name of its file, without the ending.</param>
/// <param name="Kernel">Its name.</param>
/// <param name="Architecture">The architecture it was assembled for.</param>
/// <param name="Loops">Its hot loops.</param>
internal sealed record KernelLoops(string Module, string Kernel, Architecture Architecture, IReadOnlyList<HotLoop> Loops)
{
    /// <summary>Instructions for each logit of the loop that sums and of the loop that writes the gradient; what is wrong where there is not one of each.</summary>
    public string Figure
    {
        get
        {
            int bytes = BytesOf(Module)!.Value;
            int matrices = Kernel.Contains("None", StringComparison.Ordinal) ? 1 : 2;
            double[] sums = [.. Loops.Where(loop => !loop.IsGradient).Select(loop => loop.PerElement(matrices, bytes))];
            double[] gradients = [.. Loops.Where(loop => loop.IsGradient).Select(loop => loop.PerElement(matrices, bytes))];
            return sums.Length == 1 && gradients.Length == 1
                ? string.Create(CultureInfo.InvariantCulture, $"{sums[0]:F1} + {gradients[0]:F1} = {sums[0] + gradients[0]:F1}")
                : string.Create(CultureInfo.InvariantCulture, $"ambiguous: {sums.Length} loops that sum, {gradients.Length} that write");
        }
    }

    /// <summary>Reads the loops of a module's kernels.</summary>
    /// <param name="module">Name of the file, without the ending.</param>
    /// <param name="architecture">The architecture.</param>
    /// <param name="listing">What nvdisasm makes of it.</param>
    /// <returns>One for each kernel that computes loss and gradient.</returns>
    public static IEnumerable<KernelLoops> Of(string module, Architecture architecture, string listing) =>
        BytesOf(module) is { } bytes
            ? MachineFunction.Parse(listing)
                .Where(function => function.Name.StartsWith("loss_", StringComparison.Ordinal))
                .Select(function => new KernelLoops(module, function.Name, architecture, HotLoop.Find(function, bytes)))
            : [];

    /// <summary>Bytes of a logit in the modules that are looked at; float64, whose exponentials are long functions, is left out.</summary>
    private static int? BytesOf(string module) => module.Split('_')[0] switch
    {
        "bfloat16" or "float16" => 2,
        "float32" => 4,
        _ => null,
    };

    /// <summary>Kernels in a fixed order.</summary>
    /// <param name="kernels">The kernels.</param>
    /// <returns>The same, by module, kernel and architecture.</returns>
    public static IReadOnlyList<KernelLoops> InOrder(IEnumerable<KernelLoops> kernels) =>
    [
        .. kernels.OrderBy(one => one.Module, StringComparer.Ordinal)
            .ThenBy(one => one.Kernel, StringComparer.Ordinal)
            .ThenBy(one => one.Architecture.Name, StringComparer.Ordinal),
    ];
}
