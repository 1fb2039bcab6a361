using Asft.Kernels;
using FineTune.Model;

namespace FineTune.Study;

/// <summary>How large the study is.</summary>
internal sealed record StudySettings
{
    /// <summary>Each seed has its base model, its demonstrations and its held-out problems.</summary>
    public int Seeds { get; init; } = 5;

    public IReadOnlyList<double> LearningRates { get; init; } = [3e-4, 1e-3, 3e-3];

    public IReadOnlyList<double> KlWeights { get; init; } = [0.025, 0.05, 0.1];

    public int PretrainingSteps { get; init; } = 1000;

    public int Steps { get; init; } = 96;

    public int Demonstrations { get; init; } = 1024;

    public double WrongShare { get; init; } = 0.3;

    public int HeldOut { get; init; } = 200;

    public int HeldOutOthers { get; init; } = 50;

    public ModelShape Shape { get; init; } = new(ByteTokenizer.Vocabulary, ByteTokenizer.Context, Layers: 2, Width: 96, Heads: 4);

    /// <summary>Every way of fine-tuning that is compared, SFT first.</summary>
    public IReadOnlyList<Method> Methods =>
    [
        new("SFT", 0, LossObjective.Sft),
        new("DFT", 0, LossObjective.Dft),
        .. KlWeights.SelectMany<double, Method>(weight =>
        [
            new("SFT+KL", weight, LossObjective.SftKl(weight)),
            new("ASFT forward", weight, LossObjective.Asft(weight)),
            new("ASFT reverse", weight, LossObjective.Asft(weight) with { KlDirection = KlDirection.Reverse }),
            new("DFT, k3", weight, LossObjective.Asft(weight) with { KlEstimator = KlEstimator.K3 }),
        ]),
    ];

    /// <summary>What distinguishes results that must not be mixed.</summary>
    public string Fingerprint =>
        FormattableString.Invariant(
            $"{PretrainingSteps} {Steps} {Demonstrations} {WrongShare} {HeldOut} {HeldOutOthers} {Shape.Layers}x{Shape.Width}");
}

/// <summary>A way of fine-tuning.</summary>
/// <param name="Name">What it is called, whatever the weight.</param>
/// <param name="KlWeight">Weight of the divergence; 0 where there is none.</param>
/// <param name="Objective">Its loss.</param>
internal sealed record Method(string Name, double KlWeight, LossObjective Objective);
