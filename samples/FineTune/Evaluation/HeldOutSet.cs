using Asft.Interop;
using Asft.Kernels;
using FineTune.Model;
using FineTune.Training;
using static TorchSharp.torch;

namespace FineTune.Evaluation;

/// <summary>Held-out problems with what every evaluation needs again: their tokens, and the base model's logits for them.</summary>
internal sealed class HeldOutSet : IDisposable
{
    private readonly HeldOutProblems problems;
    private readonly string[] prompts;
    private readonly int longestResponse;
    private readonly Batch batch;
    private readonly Tensor baseLogits; // [problems, T, V]
    private readonly LossObjective objective;

    public HeldOutSet(HeldOutProblems problems, LanguageModel baseModel, KlDirection direction)
    {
        this.problems = problems;
        prompts = [.. problems.Examples.Select(example => example.Prompt)];
        longestResponse = problems.Examples.Max(example => ByteTokenizer.EncodeResponse(example.Response).Length);
        batch = Batch.Of(problems.Examples);
        objective = LossObjective.Sft with { KlDirection = direction };

        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        baseLogits = baseModel.forward(batch.Tokens).DetachFromDisposeScope();
    }

    public DomainScore Score(LanguageModel model)
    {
        string[] answers = GreedyDecoder.Answer(model, prompts, longestResponse);
        int right = problems.Examples.Zip(answers).Count(pair => problems.Grading(pair.First, pair.Second));

        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var result = AsftFunctional.asft_loss_with_metrics(
            model.forward(batch.Tokens), batch.Labels, baseLogits, objective, shiftLabels: true);

        // Position t predicts label t+1; an ignored label is -100 and equals no prediction.
        long length = batch.Labels.size(1);
        var hits = result.PredictedToken.narrow(1, 0, length - 1).eq(batch.Labels.narrow(1, 1, length - 1)).sum();
        return new DomainScore(
            problems.Name,
            answers.Length,
            Accuracy: (double)right / answers.Length,
            TokenAccuracy: (double)hits.item<long>() / result.TokenCount,
            Loss: result.Loss.item<float>(),
            Kl: result.TokenKl.sum().item<float>() / result.TokenCount);
    }

    public void Dispose()
    {
        batch.Dispose();
        baseLogits.Dispose();
    }
}
