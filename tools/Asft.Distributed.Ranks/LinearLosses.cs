using Asft.Interop;
using Asft.Interop.Tests;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Distributed.Ranks;

/// <summary>The linear loss on a shard of the head against the loss on all of it, on one rank, and the same bits on each.</summary>
internal static class LinearLosses
{
    private const int Features = 6;
    private const int Rows = 14;
    private const int Vocabulary = 53;

    public static void Run(IProcessGroup group)
    {
        int number = 0;
        foreach ((string name, LossObjective objective) in Objectives.All)
        {
            foreach (ScalarType type in (ScalarType[])[ScalarType.Float64, ScalarType.Float32])
            {
                Check(group, objective, type, number++, name);
            }
        }
    }

    private static void Check(IProcessGroup group, LossObjective objective, ScalarType type, int number, string name)
    {
        using DisposeScope scope = NewDisposeScope();
        var reduction = (Reduction)(number % 3);
        name = FormattableString.Invariant($"linear {name} {type} {reduction} ({number})");
        var test = new TokenCase(group, objective, Rows, Vocabulary, seed: number);
        var random = new Random(number);
        Tensor hidden = Draw(2, Rows / 2, Features);
        Tensor weight = Draw(Vocabulary, Features);
        Tensor bias = Draw(Vocabulary);
        Tensor referenceHidden = Draw(2, Rows / 2, Features);
        Tensor referenceWeight = Draw(Vocabulary, Features);
        bool ownHead = number % 2 == 0;
        bool trainsHead = number % 4 != 3;
        Func<TokenStatistics, Tensor>? weighting = number % 7 == 6 ? static s => s.LogProbability.exp() + s.Entropy : null;
        Tensor? weights = number % 3 == 0 ? test.Weights : null;
        Tensor upstream = reduction == Reduction.None ? linspace(-1, 2, Rows, ScalarType.Float64).reshape(2, 7) : tensor(1.5);

        (AsftLossResult exact, Tensor[] expected) = Loss(ScalarType.Float64, 0, Vocabulary, null);
        (AsftLossResult result, Tensor[] gradients) = Loss(type, test.First, test.Columns, test.Shard);
        double unit = type == ScalarType.Float64 ? 1e-12 : 4e-5; // the products that make the logits have float32's error, too
        Expect.Close(result.Loss, exact.Loss, unit * Rows, unit, $"{name}: loss");
        Expect.Close(result.TokenLoss, exact.TokenLoss, unit * 4, unit, $"{name}: token losses");
        Expect.Close(result.TokenKl, exact.TokenKl, unit * 4, unit, $"{name}: KL");
        Expect.Close(result.PredictedToken, exact.PredictedToken, 0, 0, $"{name}: predicted tokens");
        Expect.Close(gradients[0], expected[0], unit * 8, unit, $"{name}: gradient of the hidden states");
        Expect.SameBits(group, result.Loss, $"{name}: loss");
        Expect.SameBits(group, gradients[0], $"{name}: gradient of the hidden states");
        if (trainsHead)
        {
            Expect.Close(gradients[1], expected[1].narrow(0, test.First, test.Columns), unit * 8, unit, $"{name}: gradient of the weight");
            Expect.Close(gradients[2], expected[2].narrow(0, test.First, test.Columns), unit * 8, unit, $"{name}: gradient of the bias");
        }

        (AsftLossResult Result, Tensor[] Gradients) Loss(ScalarType type, long first, long columns, VocabularyShard? shard)
        {
            Tensor x = hidden.to(type).clone().requires_grad_();
            Tensor w = weight.to(type).narrow(0, first, columns).clone().requires_grad_(trainsHead);
            Tensor b = bias.to(type).narrow(0, first, columns).clone().requires_grad_(trainsHead);
            TokenReference reference = ownHead
                ? TokenReference.Hidden(referenceHidden.to(type), referenceWeight.to(type).narrow(0, first, columns))
                : TokenReference.Hidden(referenceHidden.to(type));
            AsftLossResult loss = AsftFunctional.linear_asft_loss_with_metrics(
                x, w, test.Labels, b, reference, objective, reduction, tokenWeights: weights, weighting: weighting, shard: shard,
                options: new LinearLossOptions { WorkspaceBytes = 4000 });
            loss.Loss.backward([upstream.to(type)], retain_graph: true);
            if (number % 5 == 0)
            {
                Tensor once = x.grad!.clone();
                x.grad!.zero_();
                if (trainsHead)
                {
                    w.grad!.zero_();
                    b.grad!.zero_();
                }

                loss.Loss.backward([upstream.to(type)]);
                Expect.Close(x.grad!, once, 1e-5, 1e-5, $"{name}: second gradient");
            }

            return (loss, [.. new[] { x.grad, w.grad, b.grad }.OfType<Tensor>()]);
        }

        Tensor Draw(params long[] shape) =>
            tensor([.. Enumerable.Range(0, (int)shape.Aggregate(1L, (a, b) => a * b)).Select(_ => random.Next(-32, 33) / 32.0)], dtype: ScalarType.Float64)
                .reshape(shape);
    }
}
