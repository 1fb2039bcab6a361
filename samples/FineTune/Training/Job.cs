using Asft.Interop;

namespace FineTune.Training;

/// <summary>What the ranks of a job divide among them.</summary>
internal enum Division
{
    /// <summary>Nothing: this process trains alone.</summary>
    Nothing,

    /// <summary>The examples of each batch.</summary>
    Batches,

    /// <summary>The rows of the head.</summary>
    Vocabulary,
}

/// <summary>The processes that train a model together, and what they divide.</summary>
internal sealed record Job(IProcessGroup Group, Division Division);
