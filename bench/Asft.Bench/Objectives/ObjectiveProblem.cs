using Asft.Bench.Measuring;
using Asft.Bench.Problems;
using Asft.Interop;
using Asft.Kernels;
using Asft.Kernels.Cpu;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Bench.Objectives;

/// <summary>
/// The objectives beyond plain ASFT on the same logits, in place, forward and backward: references of which little was kept, and weights of the
/// caller's own.
/// </summary>
internal sealed unsafe class ObjectiveProblem : IDisposable
{
    public const string Asft = "ASFT";
    public const string Sft = "SFT";
    public const string Weighted = "ASFT, tokenWeights";
    public const string General = "ASFT, p^a (1-p)^b";
    public const string Dropped = "ASFT, weights dropped";
    public const string K3 = "SFT + K3";
    public const string TopK = "ASFT, top-k, K = 64";
    public const string Callback = "ASFT by a weighting";
    public const string Metrics = "metrics, kernel";
    public const string MetricsEntropy = "metrics and entropy, kernel";

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly CpuTokenLossKernel _kernel = new(get_num_threads);
    private readonly Tensor _start;
    private readonly Tensor _logits;
    private readonly Tensor _labels;
    private readonly Tensor _reference;
    private readonly Tensor _metrics;

    public ObjectiveProblem(long rows, long vocabulary, int threads)
    {
        set_num_threads(threads);
        manual_seed(1);
        Size = $"[{rows}, {vocabulary}]";
        _start = randn(rows, vocabulary).mul_(3);
        _reference = _start + randn(rows, vocabulary).mul_(0.3);
        _labels = randint(0, vocabulary, [rows], ScalarType.Int64);
        _metrics = zeros(6, rows);
        _logits = LossProblem.Computed(_start);
        Tensor weights = rand(rows) + 0.5;
        Tensor logs = _reference.log_softmax(-1);
        TokenReference label = TokenReference.LabelLogProbabilities(logs.gather(-1, _labels.unsqueeze(-1)).squeeze(-1));
        (Tensor values, Tensor indices) = logs.topk(64);
        TokenReference entries = TokenReference.TopK(indices, values);
        Cases =
        [
            Case(Asft, _reference, LossObjective.Asft()),
            Case(Weighted, _reference, LossObjective.Asft(), weights),
            Case(General, _reference, LossObjective.Asft() with { WeightExponent = 0.5, WeightComplementExponent = 1.5 }),
            Case(Dropped, _reference, LossObjective.Asft() with { WeightMin = 0.001, WeightBound = WeightBound.Drop }),
            Case(Callback, _reference, LossObjective.Asft(), weighting: static statistics => statistics.LogProbability.exp()),
            Case(TopK, entries, LossObjective.Asft()),
            Case(Sft, null, LossObjective.Sft),
            Case(K3, label, LossObjective.SftKl(0.05) with { KlEstimator = KlEstimator.K3 }),
            new(Metrics, () => Evaluate(entropy: false), Restore),
            new(MetricsEntropy, () => Evaluate(entropy: true), Restore),
        ];
    }

    public string Size { get; }

    public IReadOnlyList<TimedCase> Cases { get; }

    /// <summary>Peak memory of a step of the top-k loss, in bytes.</summary>
    public long TopKMemory()
    {
        TimedCase topK = Cases.First(timed => timed.Name == TopK);
        Restore();
        topK.Run();
        Restore();
        return ResidentMemory.PeakDuring(topK.Run);
    }

    public void Dispose() => _scope.Dispose();

    private TimedCase Case(
        string name, TokenReference? reference, LossObjective objective, Tensor? weights = null, Func<TokenStatistics, Tensor>? weighting = null) =>
        new(name, () => Step(() => AsftFunctional.asft_loss(
            _logits, _labels, reference, objective, inPlace: true, tokenWeights: weights, weighting: weighting)), Restore);

    private void Restore()
    {
        using (no_grad())
        {
            _logits.copy_(_start);
        }
    }

    private static void Step(Func<Tensor> loss)
    {
        using DisposeScope scope = NewDisposeScope();
        loss().backward();
    }

    /// <summary>ASFT with its gradient in place and every metric, with or without the entropy, which a loss with metrics always has.</summary>
    private void Evaluate(bool entropy)
    {
        long rows = _labels.numel();
        float* metrics = (float*)LossProblem.Address(_metrics);
        LogitMatrix logits = new((float*)LossProblem.Address(_logits), ElementType.Float32, _logits.size(-1));
        _kernel.Forward(
            new TokenProblem
            {
                Objective = LossObjective.Asft(),
                Rows = rows,
                Vocabulary = _logits.size(-1),
                Logits = logits,
                Reference = new LogitMatrix((float*)LossProblem.Address(_reference), ElementType.Float32, _logits.size(-1)),
                Labels = (long*)LossProblem.Address(_labels),
            },
            new TokenOutputs
            {
                Loss = metrics,
                LogProbability = metrics + rows,
                Weight = metrics + (2 * rows),
                Kl = metrics + (3 * rows),
                LogSumExp = metrics + (4 * rows),
                Entropy = entropy ? metrics + (5 * rows) : null,
            },
            new TokenGradient { Logits = logits, Scale = 1.0 / rows });
    }
}
