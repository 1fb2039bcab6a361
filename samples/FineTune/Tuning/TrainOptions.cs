using Asft.Kernels;
using FineTune.Transformer;
using static TorchSharp.torch;

namespace FineTune.Tuning;

/// <summary>What <c>train</c> is asked for, already checked one by one.</summary>
internal sealed record TrainOptions
{
    public required string Model { get; init; }

    public required string Data { get; init; }

    public required string Output { get; init; }

    public required LossObjective Objective { get; init; }

    /// <summary>The name that the objective has on the command line.</summary>
    public required string Mode { get; init; }

    /// <summary>One of <see cref="References"/>; null for what suits the others.</summary>
    public string? Reference { get; init; }

    /// <summary>The checkpoint of a frozen reference; null for the model's own.</summary>
    public string? ReferenceModel { get; init; }

    /// <summary>The directory of a cached reference.</summary>
    public string? Cache { get; init; }

    /// <summary>Null to train all weights.</summary>
    public LoraOptions? Lora { get; init; }

    /// <summary>Dtype of the weights; null for the checkpoint's own.</summary>
    public ScalarType? Type { get; init; }

    /// <summary>Null for as many as <see cref="Epochs"/> takes.</summary>
    public int? Steps { get; init; }

    public double Epochs { get; init; } = 3;

    /// <summary>Examples of a step.</summary>
    public int Batch { get; init; } = 16;

    /// <summary>Rows that go through the model together.</summary>
    public int Rows { get; init; } = 4;

    /// <summary>The most tokens of an example, and of a row.</summary>
    public int Length { get; init; } = 1024;

    public bool Packing { get; init; } = true;

    public bool Recompute { get; init; }

    /// <summary>Null for what suits: adapters take larger ones.</summary>
    public double? LearningRate { get; init; }

    /// <summary>Share of the steps in which the rate rises.</summary>
    public double WarmUp { get; init; } = 0.03;

    public double WeightDecay { get; init; }

    public double MaxGradientNorm { get; init; } = 1;

    public int Seed { get; init; } = 1;

    /// <summary>Steps between two saved states.</summary>
    public int SaveEvery { get; init; } = 100;

    public bool Resume { get; init; }

    /// <summary>Whether the ranks of an MPI job divide the rows of a step.</summary>
    public bool DataParallel { get; init; }
}

/// <summary>Where the reference comes from, by its name on the command line.</summary>
internal static class References
{
    public const string None = "none";
    public const string Frozen = "frozen";
    public const string AdaptersOff = "adapters-off";
    public const string Cached = "cached";
}
