using Asft.Interop.Tests.DevicePath;
using Asft.Kernels.Tests;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>The golden cases through the tensor face, in every dtype that can hold their logits.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.All))]
public class GoldenTests(string path) : TorchTest(path)
{
    private static readonly ScalarType[] s_types = [ScalarType.Float32, ScalarType.Float64, ScalarType.BFloat16, ScalarType.Float16];

    private static IEnumerable<string> Cases => GoldenCase.Names;

    [TestCaseSource(nameof(Cases))]
    public void Golden(string name)
    {
        GoldenCase golden = GoldenCase.Load(name);
        Tensor exact = tensor(golden.Logits).reshape(golden.Rows, golden.Vocabulary);
        Tensor? exactReference = golden.Reference is null ? null : tensor(golden.Reference).reshape(golden.Rows, golden.Vocabulary);
        Tensor labels = tensor(golden.Labels);
        Tensor? weights = golden.Weights is null ? null : tensor(golden.Weights);
        TokenReference? kept = golden.LabelLogProbabilities is { } logs ? TokenReference.LabelLogProbabilities(tensor(logs))
            : golden.TopKIndices is { } indices ? TokenReference.TopK(
                tensor(indices).reshape(golden.Rows, -1), tensor(golden.TopKLogProbabilities!).reshape(golden.Rows, -1))
            : null;
        Tensor gradient = tensor(golden.Tokens.SelectMany(token => token?.Gradient ?? new double[golden.Vocabulary]).ToArray())
            .reshape(golden.Rows, golden.Vocabulary);

        int held = 0;
        foreach (ScalarType type in s_types)
        {
            Tensor logits = exact.to(type).clone();
            Tensor? reference = exactReference?.to(type).clone();
            if (!Values(logits).SequenceEqual(golden.Logits) || (reference is not null && !Values(reference).SequenceEqual(golden.Reference!)))
            {
                continue;
            }

            held++;
            logits.requires_grad = true;
            using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(
                logits, labels, kept ?? reference, golden.Objective, Reduction.Sum, tokenWeights: weights);
            AssertLoss(result.TokenLoss, Column(token => token.Loss), type, $"{type} token loss");
            AssertLoss(result.TokenLogProbability, Column(token => token.LogProbability), type, $"{type} log-probability");
            AssertLoss(result.TokenLogSumExp, Column(token => token.LogSumExp), type, $"{type} lse");
            AssertLoss(result.TokenWeight, Column(token => token.Weight), type, $"{type} weight");
            AssertLoss(result.TokenKl, Column(token => token.Kl), type, $"{type} KL");
            if (golden.Tokens.All(token => token is null or { Entropy: not null }))
            {
                AssertLoss(result.TokenEntropy, Column(token => token.Entropy!.Value), type, $"{type} entropy");
            }

            Assert.That(result.TokenCount, Is.EqualTo(golden.Labels.Count(label => label != golden.Objective.IgnoreIndex)));

            result.Loss.backward();
            AssertGradient(Gradient(logits), gradient, type, 1, $"{type} gradient");
        }

        Assert.That(held, Is.AtLeast(1), "No dtype can hold the case's logits.");

        Tensor Column(Func<GoldenToken, double> value) => tensor(golden.Tokens.Select(token => token is null ? 0 : value(token)).ToArray());
    }
}
