using System.Globalization;
using Asft.Bench.Figures;
using Asft.Bench.Measuring;
using Asft.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Bench.Devices;

/// <summary>Forward and backward of ASFT on every device that <see cref="AsftRuntime"/> knows, against the SIMD kernel. For information.</summary>
public static class DeviceTable
{
    private const long Rows = 256;
    private const long Vocabulary = 32000;

    /// <summary>Measures.</summary>
    /// <param name="rounds">Timed rounds.</param>
    public static FigureSet Measure(int rounds)
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

        return new FigureSet(
            "ASFT forward+backward, float32, on every device that there is",
            [
                .. devices.Select(device => Figure.Plain(
                    $"{device.Id}, {device.Name}",
                    $"[{Rows}, {Vocabulary}]",
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"{seconds[device.Id] * 1e3:0.0} ms, {seconds[device.Id] / seconds[devices[0].Id]:0.0} x the SIMD kernel's"))),
            ]);
    }
}
