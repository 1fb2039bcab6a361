using Asft.Interop;
using Asft.Kernels;
using FineTune.Transformer;
using static TorchSharp.torch;

namespace FineTune.Tuning;

/// <summary>How a step is made.</summary>
/// <param name="MaxGradientNorm">Gradients are scaled down to this norm.</param>
/// <param name="WeightDecay">Of matrices.</param>
/// <param name="Recompute">Whether layers keep only their inputs, and compute the rest again on the way back.</param>
/// <param name="Seed">Seed of dropout.</param>
internal sealed record TunerOptions(double MaxGradientNorm = 1, double WeightDecay = 0, bool Recompute = false, int Seed = 0);

/// <summary>What a step was like: means over its labelled tokens, in nats, and the gradient's norm. The KL is NaN without a reference.</summary>
internal sealed record TunerStep(double Loss, double Kl, double Entropy, double LabelProbability, double GradientNorm);

/// <summary>Makes optimizer steps, each from several passes, whose losses are divided by the labelled tokens of all.</summary>
internal sealed class Tuner : IDisposable
{
    private const int SeedsOfStep = 1 << 20;

    private readonly Decoder model;
    private readonly LossObjective objective;
    private readonly IAnchor? anchor;
    private readonly TunerOptions options;
    private readonly Ranks ranks;

    /// <param name="model">The model, in memory of its own.</param>
    /// <param name="objective">The loss.</param>
    /// <param name="anchor">The reference; may be null if the objective needs none.</param>
    /// <param name="options">How a step is made.</param>
    /// <param name="ranks">The processes that make it together; null for this one alone.</param>
    public Tuner(Decoder model, LossObjective objective, IAnchor? anchor, TunerOptions options, Ranks? ranks = null)
    {
        this.ranks = ranks ?? new Ranks();
        this.model = model;
        this.objective = objective;
        this.anchor = anchor;
        this.options = options;
        Optimizer = new MasterAdamW(model.Trained, options.WeightDecay);
        model.train();
    }

    public MasterAdamW Optimizer { get; }

    /// <summary>One step.</summary>
    /// <param name="batches">Its passes, of this rank.</param>
    /// <param name="learningRate">Its rate.</param>
    /// <exception cref="UserErrorException">The loss or a gradient is no number: the model has not been changed.</exception>
    public TunerStep Step(IReadOnlyList<MicroBatch> batches, double learningRate)
    {
        using var scope = NewDisposeScope();
        double labels = ranks.Sum(batches.Sum(batch => batch.LabelCount))[0];
        Tensor tokenCount = tensor((float)Math.Max(1, labels));
        TunerStep sum = new(0, 0, 0, 0, 0);
        for (int pass = 0; pass < batches.Count; pass++)
        {
            TunerStep part = Pass(batches[pass], pass, tokenCount);
            sum = new TunerStep(sum.Loss + part.Loss, sum.Kl + part.Kl, sum.Entropy + part.Entropy, sum.LabelProbability + part.LabelProbability, 0);
        }

        Optimizer.SumGradients(ranks);
        if (ranks.Sum(sum.Loss, sum.Kl, sum.Entropy, sum.LabelProbability) is [var loss, var kl, var entropy, var labelProbability])
        {
            sum = new TunerStep(loss, kl, entropy, labelProbability, 0);
        }

        double norm = Optimizer.GradientNorm();
        if (!double.IsFinite(sum.Loss) || !double.IsFinite(norm))
        {
            throw new UserErrorException(
                $"Step {Optimizer.Steps + 1}: the loss is {sum.Loss} and the gradient's norm {norm}. A lower --learning-rate, or float32 weights, may help.");
        }

        Optimizer.Step(learningRate, scale: norm > options.MaxGradientNorm ? options.MaxGradientNorm / norm : 1);
        double count = Math.Max(1, labels);
        return new TunerStep(
            sum.Loss, anchor is null ? double.NaN : sum.Kl / count, sum.Entropy / count, sum.LabelProbability / count, norm);
    }

    public void Dispose() => Optimizer.Dispose();

    /// <summary>A part of the loss, and sums over its labelled tokens.</summary>
    private TunerStep Pass(MicroBatch batch, int number, Tensor tokenCount)
    {
        using var scope = NewDisposeScope();
        TokenReference? reference = anchor?.Of(batch);
        SequenceLayout layout = batch.Layout(model.Config, model.HeadWeight) with
        {
            DropoutSeed = model.Adapters is { Dropout: > 0 } ? DropoutSeed(number) : null,
        };
        var pass = new TrainingPass(model, batch.Tokens, layout, options.Recompute);
        using AsftLossResult result = AsftFunctional.linear_asft_loss_with_metrics(
            pass.Hidden, model.HeadWeight, batch.Labels, reference: reference, objective: objective, tokenCount: tokenCount, shiftLabels: true);
        pass.Backward(result.Loss);
        Optimizer.Accumulate();
        Tensor counted = result.PredictedToken.ge(0);
        return new TunerStep(
            result.Loss.item<float>(),
            result.TokenKl.sum().item<float>(),
            result.TokenEntropy.sum().item<float>(),
            (result.TokenLogProbability.exp() * counted).sum().item<float>(),
            GradientNorm: 0);
    }

    /// <summary>Different for each step, pass and, as the layers' numbers are added to it, layer.</summary>
    private long DropoutSeed(int pass) =>
        (((long)options.Seed * 1_000_003) + Optimizer.Steps) * SeedsOfStep + ((long)pass * model.Config.Layers);
}
