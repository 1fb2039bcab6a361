using Asft.Kernels;
using FineTune.Evaluation;
using FineTune.Model;
using FineTune.Training;

namespace FineTune;

/// <summary>A model's score after so many steps.</summary>
internal sealed record CurvePoint(int Step, Score Score);

/// <summary>What became of one copy of the base model: its scores along the way, the last one final, and its steps' cost.</summary>
internal sealed record Outcome(Mode Mode, CurvePoint[] Curve, StepCost Cost)
{
    public Score Final => Curve[^1].Score;
}

/// <summary>Told after each step: how many are done, and the loss of this one.</summary>
internal delegate void StepReport(int step, float loss);

/// <summary>The two halves of the demonstration: one pretraining, and a fine-tuning of a copy for each mode.</summary>
internal static class DemoTraining
{
    public const int PretrainingSteps = 1200;

    private const int Evaluations = 6;

    public static ModelShape Shape { get; } = new(ByteTokenizer.Vocabulary, ByteTokenizer.Context);

    public static LanguageModel Pretrain(Random random, StepReport report, Job? job)
    {
        var model = new LanguageModel(Shape);
        using var trainer = new Trainer(
            model, LossObjective.Sft, reference: null, new Schedule(PretrainingSteps, LearningRate: 3e-3, WeightDecay: 0.1), job: job);
        int step = 0;
        foreach (var examples in Batches.Mixture(random).Take(PretrainingSteps))
        {
            float loss = trainer.Step(examples);
            report(++step, loss);
        }

        return model;
    }

    public static Outcome FineTune(
        Mode mode,
        LanguageModel baseModel,
        IReferenceStates? referenceStates,
        FineTuningTask task,
        Options options,
        Evaluator evaluator,
        Score baseScore,
        StepReport report,
        Job? job)
    {
        using var model = baseModel.Copy();
        using var trainer = new Trainer(
            model, mode.Objective, baseModel, new Schedule(options.Steps, options.LearningRate, WeightDecay: 0), referenceStates, job);
        var meter = new StepMeter();
        List<CurvePoint> curve = [new(0, baseScore)];
        int interval = Math.Max(1, options.Steps / Evaluations);
        int step = 0;

        // The same seed for each mode, so that all see the same batches.
        foreach (var examples in Batches.Epochs(task.Demonstrations, new Random(options.Seed)).Take(options.Steps))
        {
            float loss = float.NaN;
            meter.Run(() => loss = trainer.Step(examples));
            report(++step, loss);

            if (step == options.Steps || (step % interval == 0 && options.Steps - step >= interval))
            {
                curve.Add(new CurvePoint(step, evaluator.Evaluate(model)));
            }
        }

        return new Outcome(mode, [.. curve], meter.Cost);
    }
}
