using Asft.Kernels;
using FineTune.Model;
using FineTune.Training;
using static TorchSharp.torch;

namespace FineTune.Study;

/// <summary>The pretrained model of each seed, made once and kept in a file.</summary>
internal static class BaseModels
{
    public static LanguageModel LoadOrPretrain(StudyData data, StudySettings settings, int seed, string directory, Action<string> tell, CancellationToken stop)
    {
        string name = $"base-{seed}-{settings.PretrainingSteps}-{settings.Shape.Layers}x{settings.Shape.Width}.dat";
        string path = Path.Combine(directory, name);
        manual_seed(seed);
        var model = new LanguageModel(settings.Shape);
        if (File.Exists(path))
        {
            model.load(path);
            return model;
        }

        Pretrain(model, data, settings, seed, tell, stop);
        model.save(path + ".partial");
        File.Move(path + ".partial", path);
        return model;
    }

    private static void Pretrain(LanguageModel model, StudyData data, StudySettings settings, int seed, Action<string> tell, CancellationToken stop)
    {
        const int Tellings = 10;
        var schedule = new Schedule(settings.PretrainingSteps, LearningRate: 3e-3, WeightDecay: 0.1);
        using var trainer = new Trainer(model, LossObjective.Sft, reference: null, schedule);
        int step = 0;
        foreach (var examples in data.Pretraining(seed).Take(settings.PretrainingSteps))
        {
            stop.ThrowIfCancellationRequested();
            using var batch = Batch.Of(examples);
            float loss = trainer.Step(batch);
            if (++step % Math.Max(1, settings.PretrainingSteps / Tellings) == 0)
            {
                tell($"base model {seed}: step {step} of {settings.PretrainingSteps}, loss {loss:F3}");
            }
        }
    }
}
