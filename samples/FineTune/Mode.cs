using Asft.Kernels;

namespace FineTune;

/// <summary>A way of fine-tuning: its name on the command line, its name in the report, and the loss it minimizes.</summary>
internal sealed record Mode(string Option, string Name, LossObjective Objective)
{
    public const string AllModes = "all";

    /// <summary>The modes that <paramref name="options"/> select, in the order of the report.</summary>
    public static Mode[] Selected(Options options)
    {
        LossObjective Anchored(LossObjective objective) => objective with { KlDirection = options.KlDirection };

        Mode[] all =
        [
            new("sft", "SFT", LossObjective.Sft),
            new("dft", "DFT", LossObjective.Dft),
            new("sft-kl", "SFT+KL", Anchored(LossObjective.SftKl(options.KlWeight))),
            new("asft", "ASFT", Anchored(LossObjective.Asft(options.KlWeight))),
        ];
        return options.Mode == AllModes ? all : [.. all.Where(mode => mode.Option == options.Mode)];
    }
}
