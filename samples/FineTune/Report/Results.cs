using Asft.Kernels;
using FineTune.Evaluation;

namespace FineTune.Report;

/// <summary>What all parts of the report are made from.</summary>
internal sealed record Results(KlDirection Direction, Score Base, Outcome[] Outcomes)
{
    /// <summary>How the divergence is written, the model being the fine-tuned one.</summary>
    public string KlName => Direction == KlDirection.Forward ? "KL(base || model)" : "KL(model || base)";
}
