using System.Diagnostics;
using FineTune.Evaluation;
using FineTune.Model;
using FineTune.Training;

namespace FineTune.Study;

/// <summary>Fills the grid of domains, methods, learning rates and seeds, cell by cell.</summary>
/// <param name="data">What is trained on.</param>
/// <param name="settings">The size of the grid.</param>
/// <param name="directory">Where runs and base models are kept.</param>
/// <param name="tell">Takes a line for each run.</param>
/// <param name="stop">Ends the study at the next step; what is done is kept.</param>
internal sealed class StudyRunner(StudyData data, StudySettings settings, string directory, Action<string> tell, CancellationToken stop)
{
    private readonly StudyStore store = new(Path.Combine(directory, "runs.jsonl"));
    private readonly long start = Stopwatch.GetTimestamp();
    private int made;

    /// <summary>Makes every run that is not in the directory yet.</summary>
    /// <returns>All runs of the grid.</returns>
    public StudyRun[] Run()
    {
        StudyRun[] grid = [.. Cells()];
        foreach (var seed in grid.GroupBy(cell => cell.Seed))
        {
            if (seed.All(store.Has))
            {
                continue;
            }

            using LanguageModel model = BaseModels.LoadOrPretrain(data, settings, seed.Key, directory, tell, stop);
            foreach (var domain in seed.GroupBy(cell => cell.Domain))
            {
                FillDomain([.. domain.Where(cell => !store.Has(cell))], model, grid);
            }
        }

        return [.. store.Runs.Where(run => grid.Any(run.SameCell))];
    }

    private IEnumerable<StudyRun> Cells() =>
        from seed in Enumerable.Range(1, settings.Seeds)
        from domain in StudyData.TunedDomains
        from rate in settings.LearningRates
        from method in settings.Methods
        select new StudyRun(settings.Fingerprint, seed, domain, method.Name, method.KlWeight, rate, 0, 0, 0, 0, 0, 0, 0);

    private void FillDomain(StudyRun[] cells, LanguageModel baseModel, StudyRun[] grid)
    {
        if (cells.Length == 0)
        {
            return;
        }

        FineTuningTask task = data.Task(cells[0].Domain, cells[0].Seed);
        using var evaluator = new Evaluator(task, baseModel, Asft.Kernels.KlDirection.Forward);
        Score baseScore = evaluator.Evaluate(baseModel);
        foreach (StudyRun cell in cells)
        {
            Method method = settings.Methods.Single(method => (method.Name, method.KlWeight) == (cell.Method, cell.KlWeight));
            using LanguageModel model = baseModel.Copy();
            double seconds = FineTune(model, baseModel, method, task, cell);
            StudyRun run = cell.With(evaluator.Evaluate(model), baseScore, seconds);
            store.Add(run);
            Tell(run, grid);
        }
    }

    /// <summary>Returns the median time of a step.</summary>
    private double FineTune(LanguageModel model, LanguageModel baseModel, Method method, FineTuningTask task, StudyRun cell)
    {
        using var trainer = new Trainer(model, method.Objective, baseModel, new Schedule(settings.Steps, cell.LearningRate, WeightDecay: 0));
        var seconds = new List<double>();
        foreach (var examples in Batches.Epochs(task.Demonstrations, new Random(cell.Seed)).Take(settings.Steps))
        {
            stop.ThrowIfCancellationRequested();
            long began = Stopwatch.GetTimestamp();
            using var batch = Batch.Of(examples);
            trainer.Step(batch);
            seconds.Add(Stopwatch.GetElapsedTime(began).TotalSeconds);
        }

        return seconds.Order().ElementAt(seconds.Count / 2);
    }

    private void Tell(StudyRun run, StudyRun[] grid)
    {
        made++;
        int left = grid.Count(cell => !store.Has(cell));
        TimeSpan time = Stopwatch.GetElapsedTime(start) / made * left;
        tell(
            $"{grid.Length - left}/{grid.Length}  seed {run.Seed}, {run.Domain}, {run.Method}{(run.KlWeight > 0 ? $" {run.KlWeight}" : "")}, rate {run.LearningRate}: "
            + $"accuracy {100 * run.BaseAccuracy:F1} -> {100 * run.Accuracy:F1} %, kept {100 * run.BaseKept:F1} -> {100 * run.Kept:F1} %, "
            + $"KL {run.Drift:F3} and {run.DriftElsewhere:F3}; {(int)time.TotalMinutes} min left");
    }
}
