using System.Globalization;
using Asft.Bench.Measuring;
using Asft.Interop;
using Spectre.Console;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Bench.Devices;

/// <summary>Forward and backward of ASFT on every device that <see cref="AsftRuntime"/> knows, against the SIMD kernel. For information.</summary>
public static class DeviceTable
{
    private const long Rows = 256;
    private const long Vocabulary = 32000;

    /// <summary>Measures and prints.</summary>
    /// <param name="rounds">Timed rounds.</param>
    /// <returns>0.</returns>
    public static int Run(int rounds)
    {
        using DisposeScope outer = NewDisposeScope();
        manual_seed(1);
        Tensor logits = randn(Rows, Vocabulary);
        logits.requires_grad = true;
        Tensor reference = randn(Rows, Vocabulary);
        Tensor labels = randint(0, Vocabulary, [Rows], ScalarType.Int64);
        IReadOnlyList<AsftDevice> devices = AsftRuntime.Devices;
        IReadOnlyDictionary<string, double> seconds = Interleaved.Medians(
            [
                .. devices.Select(device => new TimedCase(
                    device.Id,
                    () =>
                    {
                        using DisposeScope scope = NewDisposeScope();
                        logits.grad = null;
                        AsftFunctional.asft_loss(logits, labels, reference).backward();
                    },
                    () => AsftRuntime.Use(device.Id))),
            ],
            rounds);
        AsftRuntime.Use("auto");

        Table table = new Table().Border(TableBorder.Rounded)
            .AddColumns("device", "name", "ms", "times the SIMD kernel's")
            .Title($"ASFT forward+backward, [[{Rows}, {Vocabulary}]] float32");
        foreach (AsftDevice device in devices)
        {
            table.AddRow(
                Markup.Escape(device.Id),
                Markup.Escape(device.Name),
                (seconds[device.Id] * 1e3).ToString("0.0", CultureInfo.InvariantCulture),
                (seconds[device.Id] / seconds[devices[0].Id]).ToString("0.0", CultureInfo.InvariantCulture));
        }

        AnsiConsole.Write(table);
        return 0;
    }
}
