using Asft.Kernels;

namespace Asft.Interop.Tests;

/// <summary>One objective for each switch there is, and one with all of them.</summary>
internal static class Objectives
{
    public static IReadOnlyDictionary<string, LossObjective> All { get; } = new Dictionary<string, LossObjective>
    {
        ["sft"] = LossObjective.Sft,
        ["sft smoothed"] = LossObjective.Sft with { LabelSmoothing = 0.1 },
        ["dft"] = LossObjective.Dft,
        ["dft gamma"] = LossObjective.Dft with { WeightExponent = 0.5 },
        ["sft kl"] = LossObjective.SftKl(0.3),
        ["asft"] = LossObjective.Asft(),
        ["asft reverse"] = LossObjective.Asft(0.2) with { KlDirection = KlDirection.Reverse },
        ["asft softcap"] = LossObjective.Asft(0.1) with { LogitScale = 0.7, LogitSoftcap = 4 },
        ["z loss"] = LossObjective.Sft with { ZLossWeight = 0.01, LogitScale = 1.5 },
        ["importance"] = new LossObjective { Weighting = TokenWeighting.ImportanceRatio, WeightMax = 2, WeightMin = 0.25 },
        ["general weighting"] = LossObjective.Dft with { WeightExponent = 0.5, WeightComplementExponent = 1.5, WeightMax = 0.2, WeightMin = 0.02 },
        ["dropped weights"] = LossObjective.Dft with { WeightMin = 0.05, WeightBound = WeightBound.Drop, NllWeight = 0.5 },
        ["distillation"] = LossObjective.SftKl(1) with { NllWeight = 0 },
        ["k1"] = LossObjective.Asft(0.3) with { KlEstimator = KlEstimator.K1 },
        ["k2"] = LossObjective.Asft(0.3) with { KlEstimator = KlEstimator.K2, LabelSmoothing = 0.1 },
        ["k3"] = LossObjective.Asft(0.3) with { KlEstimator = KlEstimator.K3, LogitSoftcap = 5 },
        ["everything"] = new LossObjective
        {
            Weighting = TokenWeighting.ImportanceRatio,
            WeightMax = 3,
            KlWeight = 0.4,
            KlDirection = KlDirection.Reverse,
            LabelSmoothing = 0.05,
            LogitScale = 1.2,
            LogitSoftcap = 6,
            ZLossWeight = 0.02,
            IgnoreIndex = 2,
        },
    };

    public static IEnumerable<string> Names => All.Keys;
}
