using Asft.Kernels;
using FineTune.Model;

namespace FineTune.Evaluation;

/// <summary>Scores models on all held-out problems, against the base model that they started from.</summary>
internal sealed class Evaluator(FineTuningTask task, LanguageModel baseModel, KlDirection direction) : IDisposable
{
    private readonly HeldOutSet domain = new(task.Domain, baseModel, direction);
    private readonly HeldOutSet[] others = [.. task.Others.Select(problems => new HeldOutSet(problems, baseModel, direction))];

    public Score Evaluate(LanguageModel model) => new(domain.Score(model), [.. others.Select(set => set.Score(model))]);

    public void Dispose()
    {
        domain.Dispose();
        foreach (var set in others)
        {
            set.Dispose();
        }
    }
}
