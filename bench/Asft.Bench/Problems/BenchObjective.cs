using Asft.Kernels;

namespace Asft.Bench.Problems;

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
