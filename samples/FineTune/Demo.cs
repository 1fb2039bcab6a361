using System.Diagnostics;
using Asft.Distributed;
using Asft.Interop;
using FineTune.Evaluation;
using FineTune.Model;
using FineTune.Report;
using FineTune.Training;
using Spectre.Console;
using static TorchSharp.torch;

namespace FineTune;

/// <summary>The whole run, from the options to the report.</summary>
internal static class Demo
{
    /// <param name="options">What to do.</param>
    /// <param name="stop">Ends the run at the next step, with an <see cref="OperationCanceledException"/>; nothing half done is left.</param>
    public static int Run(Options options, CancellationToken stop)
    {
        long start = Stopwatch.GetTimestamp();
        using IProcessGroup? group = options.Division == Division.Nothing ? null : ProcessGroup.Join();
        bool isFirst = group is null or { Rank: 0 };
        Screen.Prepare(isFirst);

        // Whatever can be wrong with the input comes to light before the first minute of work.
        manual_seed(options.Seed);
        var random = new Random(options.Seed);
        FineTuningTask task = options.Data is null
            ? FineTuningTask.Additions(options.WrongShare, random)
            : FineTuningTask.FromFile(options.Data, ByteTokenizer.Context, random);
        string chart = CurveChart.Prepare(options.Output);
        if (options.CachedReference)
        {
            CachedReference.CheckExisting(options.Output, DemoTraining.Shape.Width, task.Demonstrations);
        }

        Screen.ShowTask(task, options);
        Results results = AnsiConsole.Progress()
            .Columns(
                new TaskDescriptionColumn { Alignment = Justify.Left },
                new ProgressBarColumn(),
                new PercentageColumn(),
                new ElapsedTimeColumn())
            .Start(progress => PretrainAndFineTune(
                task, options, random, progress, group is null ? null : new Job(group, options.Division), stop));

        if (isFirst)
        {
            AnsiConsole.Write(ResultTable.Of(results));
            AnsiConsole.WriteLine(Summary.Of(results));
            CurveChart.Save(results, chart);
            Screen.ShowEnd(chart, Stopwatch.GetElapsedTime(start));
        }

        group?.Complete();
        return 0;
    }

    private static Results PretrainAndFineTune(
        FineTuningTask task, Options options, Random random, ProgressContext progress, Job? job, CancellationToken stop)
    {
        using LanguageModel baseModel = DemoTraining.Pretrain(random, Bar(progress, "pretraining", DemoTraining.PretrainingSteps, stop), job);
        using var evaluator = new Evaluator(task, baseModel, options.KlDirection);
        Score baseScore = evaluator.Evaluate(baseModel);
        using CachedReference? cached =
            options.CachedReference ? new CachedReference(options.Output, baseModel, task.Demonstrations) : null;
        IReferenceStates? states = !options.LinearHead ? null : cached ?? (IReferenceStates)new FrozenReference(baseModel);
        Outcome[] outcomes =
        [
            .. Mode.Selected(options).Select(mode => DemoTraining.FineTune(
                mode, baseModel, states, task, options, evaluator, baseScore, Bar(progress, mode.Name, options.Steps, stop), job)),
        ];
        return new Results(options.KlDirection, baseScore, outcomes);
    }

    /// <summary>A bar that appears when its work begins and moves with each step's report, unless the work is to stop.</summary>
    private static StepReport Bar(ProgressContext progress, string name, int steps, CancellationToken stop)
    {
        ProgressTask bar = progress.AddTask(name, maxValue: steps);
        return (step, loss) =>
        {
            stop.ThrowIfCancellationRequested();
            bar.Description = $"{name,-11} loss {loss:F3}";
            bar.Value = step;
            if (step == steps)
            {
                bar.StopTask();
            }
        };
    }
}
