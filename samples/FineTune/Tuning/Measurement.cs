using Asft.Interop;
using Asft.Kernels;
using FineTune.Text;
using FineTune.Transformer;
using static TorchSharp.torch;

namespace FineTune.Tuning;

/// <summary>How well a model knows responses: means over their tokens. The KL divergence is NaN without a reference.</summary>
internal sealed record Measurement(double Loss, double Kl, double Entropy, double LabelProbability, double Accuracy)
{
    /// <summary>Measures a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="anchor">What the KL divergence is from; null for none.</param>
    /// <param name="examples">Examples, at least one.</param>
    /// <param name="padding">The token that fills rows up.</param>
    /// <param name="rows">Examples that go through the model together.</param>
    /// <param name="stop">Ends it, with an <see cref="OperationCanceledException"/>.</param>
    public static Measurement Of(
        Decoder model, IAnchor? anchor, IReadOnlyList<TokenizedExample> examples, int padding, int rows, CancellationToken stop = default)
    {
        model.eval();
        using var noGrad = no_grad();
        double[] sums = new double[5];
        long count = 0;
        foreach (int[] numbers in Enumerable.Range(0, examples.Count).Chunk(rows))
        {
            stop.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            using MicroBatch batch = MicroBatch.Of(examples, [.. numbers.Select(number => new[] { number })], padding);
            using AsftLossResult result = AsftFunctional.linear_asft_loss_with_metrics(
                model.Hidden(batch.Tokens, batch.Layout(model.Config, model.HeadWeight)),
                model.HeadWeight,
                batch.Labels,
                reference: anchor?.Of(batch),
                objective: LossObjective.Sft,
                shiftLabels: true);
            Tensor next = batch.Labels.narrow(1, 1, batch.Labels.size(1) - 1);
            Tensor hits = result.PredictedToken.narrow(1, 0, next.size(1)).eq(next);
            Tensor[] parts =
            [
                result.TokenLoss, result.TokenKl, result.TokenEntropy, result.TokenLogProbability.exp() * result.PredictedToken.ge(0), hits,
            ];
            for (int i = 0; i < parts.Length; i++)
            {
                sums[i] += parts[i].sum().to(ScalarType.Float64).item<double>();
            }

            count += batch.LabelCount;
        }

        double[] means = Array.ConvertAll(sums, sum => sum / Math.Max(1, count));
        return new Measurement(means[0], anchor is null ? double.NaN : means[1], means[2], means[3], means[4]);
    }

    /// <summary>Whether a model, given an example's prompt, answers with its response and nothing else.</summary>
    public static bool IsAnswered(Decoder model, TokenizedExample example, IReadOnlySet<int> ends, CancellationToken stop = default)
    {
        int[] response = [.. example.Tokens.Skip(example.PromptLength).TakeWhile(token => !ends.Contains(token))];
        return TextGenerator.Answer(model, example.Tokens[..example.PromptLength], response.Length + 1, ends, stop).SequenceEqual(response);
    }
}
