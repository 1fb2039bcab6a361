using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Bench.Problems;

/// <summary>What a loss is measured on.</summary>
/// <param name="Objective">The objective.</param>
/// <param name="Type">Element type of both sets of logits.</param>
/// <param name="Vocabulary">V.</param>
/// <param name="Tokens">N, ignored ones included.</param>
/// <param name="Ignored">Share of the labels that are ignored.</param>
/// <param name="Threads">Threads of torch and of the SIMD kernel.</param>
/// <param name="Device">cpu or cuda.</param>
public sealed record LossShape(
    BenchObjective Objective, ScalarType Type, long Vocabulary, long Tokens, double Ignored, int Threads, string Device)
{
    /// <summary>Bytes of one [N, V] tensor of the element type.</summary>
    public long TensorBytes => Tokens * Vocabulary * Type.ElementSize();

    /// <summary>
    /// Bytes that any implementation must move at least: each counted row of logits read once, the same of the reference where the
    /// objective needs one, and, for the gradient, every row written once (that of an ignored row with zeros).
    /// </summary>
    /// <param name="backward">Whether the gradient is wanted.</param>
    public double UsefulBytes(bool backward)
    {
        double reads = (Objective.Objective().NeedsReference ? 2 : 1) * (1 - Ignored);
        return TensorBytes * (reads + (backward ? 1 : 0));
    }

    /// <summary>Bytes of memory that measuring the hungriest peer takes, about: the composed loss keeps eight tensors in float32.</summary>
    public long PeakBytes => (3 * TensorBytes) + (9 * Tokens * Vocabulary * sizeof(float));
}

/// <summary>The objectives that are measured.</summary>
public enum BenchObjective
{
    Sft,
    Dft,
    SftKl,
    AsftForward,
    AsftReverse,
}

/// <summary>What the names stand for.</summary>
public static class BenchObjectives
{
    private const double KlWeight = 0.05;

    public static LossObjective Objective(this BenchObjective objective) => objective switch
    {
        BenchObjective.Sft => LossObjective.Sft,
        BenchObjective.Dft => LossObjective.Dft,
        BenchObjective.SftKl => LossObjective.SftKl(KlWeight),
        BenchObjective.AsftForward => LossObjective.Asft(KlWeight),
        BenchObjective.AsftReverse => LossObjective.Asft(KlWeight) with { KlDirection = KlDirection.Reverse },
        _ => throw new ArgumentOutOfRangeException(nameof(objective), objective, "There is no such objective."),
    };

    /// <summary>The name as people write it.</summary>
    public static string Title(this BenchObjective objective) => objective switch
    {
        BenchObjective.Sft => "SFT",
        BenchObjective.Dft => "DFT",
        BenchObjective.SftKl => "SFT+KL",
        BenchObjective.AsftForward => "ASFT, KL(q‖p)",
        BenchObjective.AsftReverse => "ASFT, KL(p‖q)",
        _ => throw new ArgumentOutOfRangeException(nameof(objective), objective, "There is no such objective."),
    };
}
