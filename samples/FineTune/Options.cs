using Asft.Kernels;
using FineTune.Training;

namespace FineTune;

/// <summary>What the command line asks for, already checked.</summary>
internal sealed record Options(
    string? Data,
    string Mode,
    double KlWeight,
    KlDirection KlDirection,
    bool LinearHead,
    bool CachedReference,
    int Steps,
    double LearningRate,
    double WrongShare,
    int Seed,
    string Output,
    Division Division = Division.Nothing);
