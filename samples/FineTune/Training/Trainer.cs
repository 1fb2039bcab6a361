using Asft.Interop;
using Asft.Kernels;
using FineTune.Model;
using FineTune.Problems;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Training;

/// <summary>How long to train and how fast.</summary>
internal sealed record Schedule(int Steps, double LearningRate, double WeightDecay);

/// <summary>
/// The ordinary training loop's body: AdamW, a learning rate that warms up and then falls along a cosine, gradients clipped
/// at norm 1. The loss is the one line that differs from training with cross_entropy.
/// </summary>
internal sealed class Trainer : IDisposable
{
    private readonly LanguageModel model;
    private readonly LanguageModel? reference;
    private readonly IReferenceStates? referenceStates;
    private readonly LossObjective objective;
    private readonly JobPart? part;
    private readonly AdamW optimizer;
    private readonly optim.lr_scheduler.LRScheduler scheduler;

    /// <param name="model">The model to train.</param>
    /// <param name="objective">The loss.</param>
    /// <param name="reference">The frozen model that a KL term anchors to; may be null if the objective needs none.</param>
    /// <param name="schedule">Length and learning rate.</param>
    /// <param name="referenceStates">
    /// The reference's hidden states: if given, the loss is computed from hidden states, and the logits never exist as a whole.
    /// </param>
    /// <param name="job">The processes that train together; null for this one alone.</param>
    public Trainer(
        LanguageModel model,
        LossObjective objective,
        LanguageModel? reference,
        Schedule schedule,
        IReferenceStates? referenceStates = null,
        Job? job = null)
    {
        this.model = model;
        this.reference = reference;
        this.referenceStates = referenceStates;
        this.objective = objective;
        part = job is null ? null : new JobPart(job, model);
        optimizer = optim.AdamW(model.parameters(), schedule.LearningRate, beta2: 0.98, weight_decay: schedule.WeightDecay);
        scheduler = optim.lr_scheduler.LambdaLR(optimizer, step => LearningRateFactor(step, schedule.Steps));
    }

    /// <summary>One step on one batch; returns the loss before it.</summary>
    public float Step(Example[] examples)
    {
        using var scope = NewDisposeScope();
        optimizer.zero_grad();
        var own = part?.Examples(examples) ?? examples;
        using var batch = own.Count == 0 ? null : Batch.Of(own);
        var tokenCount = part?.TokenCount(batch);
        var loss = batch is null ? zeros([]) : Loss(batch, tokenCount);
        if (batch is not null)
        {
            loss.backward();
        }

        part?.SumGradients();
        nn.utils.clip_grad_norm_(model.parameters(), max_norm: 1);
        optimizer.step();
        scheduler.step();
        return (part?.Total(loss) ?? loss).item<float>();
    }

    public void Dispose()
    {
        part?.Dispose();
        optimizer.Dispose();
    }

    private Tensor Loss(Batch batch, Tensor? tokenCount) => part?.Shard is { } shard ? LossOfShard(batch, shard)
        : referenceStates is null ? LossOfLogits(batch, tokenCount) : LossOfHidden(batch, referenceStates, tokenCount);

    private Tensor LossOfLogits(Batch batch, Tensor? tokenCount)
    {
        var logits = model.forward(batch.Tokens);
        return AsftFunctional.asft_loss(
            logits, batch.Labels, ReferenceLogits(batch), objective, tokenCount: tokenCount, shiftLabels: true, inPlace: true);
    }

    /// <summary>The loss of some rows of the head, where other ranks have the others.</summary>
    private Tensor LossOfShard(Batch batch, VocabularyShard shard)
    {
        var hidden = model.Hidden(batch.Tokens);
        var anchor = objective.NeedsReference && referenceStates is { } states
            ? TokenReference.Hidden(states.Hidden(batch), part!.Rows(states.Head))
            : null;
        return AsftFunctional.linear_asft_loss(
            hidden, part!.Rows(model.Head), batch.Labels, reference: anchor, objective: objective, shiftLabels: true, shard: shard);
    }

    private Tensor LossOfHidden(Batch batch, IReferenceStates states, Tensor? tokenCount)
    {
        var hidden = model.Hidden(batch.Tokens);
        return objective.NeedsReference
            ? AsftFunctional.linear_asft_loss(
                hidden, model.Head, batch.Labels, TokenReference.Hidden(states.Hidden(batch), states.Head), objective,
                tokenCount: tokenCount, shiftLabels: true)
            : AsftFunctional.linear_asft_loss(hidden, model.Head, batch.Labels, objective: objective, tokenCount: tokenCount, shiftLabels: true);
    }

    private Tensor? ReferenceLogits(Batch batch)
    {
        if (!objective.NeedsReference)
        {
            return null;
        }

        using var noGrad = no_grad();
        return reference!.forward(batch.Tokens);
    }

    /// <summary>Up to 1 over the first twentieth of the steps, then down to a twentieth.</summary>
    private static double LearningRateFactor(int step, int steps)
    {
        double warmUp = Math.Max(1, steps / 20);
        return step < warmUp
            ? (step + 1) / warmUp
            : 0.525 + (0.475 * Math.Cos(Math.PI * (step - warmUp) / Math.Max(1, steps - warmUp)));
    }
}
