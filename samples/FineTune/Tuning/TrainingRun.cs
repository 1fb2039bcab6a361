using System.Diagnostics;
using System.Globalization;
using Asft.Interop;
using FineTune.Checkpoint;
using FineTune.Report;
using FineTune.Text;
using FineTune.Transformer;
using static TorchSharp.torch;

namespace FineTune.Tuning;

/// <summary>A fine-tuning from a checkpoint to another one. Whatever can be wrong with its input comes to light before the first step.</summary>
internal sealed class TrainingRun : IDisposable
{
    private const double FullRate = 1e-5;
    private const double AdapterRate = 1e-4;
    private const double NoDrift = 0.01; // nats a token: far above what rounding makes of 0

    private readonly TrainOptions options;
    private readonly IReadOnlyList<TokenizedExample> examples;
    private readonly int padding;
    private readonly Decoder model;
    private readonly Ranks ranks;
    private readonly ReferenceSource reference;
    private readonly Tuner tuner;
    private readonly DataOrder order;
    private readonly LearningRate rate;
    private readonly Dictionary<string, string> settings;

    /// <param name="options">What to do.</param>
    /// <param name="examples">What to learn from.</param>
    /// <param name="padding">The token that fills rows up.</param>
    /// <param name="group">The processes that make it together, with the same arguments; null for this one alone.</param>
    /// <exception cref="UserErrorException">Something is wrong with what is asked for, or the output cannot be used.</exception>
    public TrainingRun(TrainOptions options, IReadOnlyList<TokenizedExample> examples, int padding, IProcessGroup? group = null)
    {
        this.options = options;
        this.examples = examples;
        this.padding = padding;
        if (examples.Count == 0)
        {
            throw new UserErrorException($"There is nothing to learn from in '{options.Data}'.");
        }

        ReferenceSource.Choose(options);
        ranks = new Ranks(group);
        if (ranks.IsFirst)
        {
            PrepareOutput(options);
        }

        model = CheckpointReader.Load(options.Model, options.Type, isTrained: true, readsWeights: ranks.IsFirst);
        ranks.Share(model.Weights.Select(static entry => entry.Parameter));
        CheckExamples(examples, model.Config);
        string checkpoint = CheckpointIdentity.Of(options.Model);
        manual_seed(options.Seed);
        reference = ReferenceSource.Open(options, model, checkpoint, examples, ranks);
        if (options.Lora is not null)
        {
            model.AddAdapters(options.Lora);
        }

        int steps = options.Steps ?? (int)Math.Ceiling(options.Epochs * examples.Count / options.Batch);
        rate = new LearningRate(
            options.LearningRate ?? (options.Lora is null ? FullRate : AdapterRate), (int)Math.Ceiling(options.WarmUp * steps), steps);
        order = new DataOrder(examples.Count, options.Batch, options.Seed);
        tuner = new Tuner(model, options.Objective, reference.Anchor, new TunerOptions(
            options.MaxGradientNorm, options.WeightDecay, options.Recompute, options.Seed), ranks);
        settings = Settings(checkpoint);
        if (options.Resume && ranks.IsFirst)
        {
            TuningState.Resume(options.Output, tuner.Optimizer, settings);
        }

        ranks.Share(tuner.Optimizer.State.Select(static entry => entry.Tensor));
        tuner.Optimizer.Resume((int)ranks.Share(Step));
    }

    /// <summary>Steps made so far.</summary>
    public int Step => tuner.Optimizer.Steps;

    /// <summary>Trains, and writes the checkpoint.</summary>
    /// <param name="log">Told of each step.</param>
    /// <param name="stop">Ends the run after a step, with an <see cref="OperationCanceledException"/>, when that is saved.</param>
    public void Run(ITrainingLog log, CancellationToken stop)
    {
        while (Step < rate.Steps)
        {
            TrainingStep step = Next();
            log.Report(step);
            if (step.Step == 1 && step.Kl > NoDrift)
            {
                log.Note(string.Create(CultureInfo.InvariantCulture, $"Warning: at the first step, the KL from the reference is {step.Kl:G3} nats a token, ")
                    + "where it should be about 0. The reference is another model than the one that is trained, or has dropout.");
            }

            bool stops = ranks.Any(stop.IsCancellationRequested);
            if (ranks.IsFirst && (step.Step % options.SaveEvery == 0 || step.Step == rate.Steps || stops))
            {
                TuningState.Save(options.Output, tuner.Optimizer, settings);
            }

            if (stops && step.Step < rate.Steps)
            {
                log.Note($"Saved after step {step.Step}: --resume goes on.");
                ranks.Complete();
                throw new OperationCanceledException(stop);
            }
        }

        if (ranks.IsFirst)
        {
            CheckpointWriter.Write(options.Output, options.Model, model);
            log.Note($"Wrote the checkpoint to {options.Output}.");
        }

        ranks.Complete();
    }

    public void Dispose()
    {
        tuner.Dispose();
        ranks.Dispose();
        reference.Dispose();
        model.Dispose();
    }

    private static void PrepareOutput(TrainOptions options)
    {
        if (Path.GetFullPath(options.Output) == Path.GetFullPath(options.Model))
        {
            throw new UserErrorException("--output is the checkpoint that --model starts from: use another directory.");
        }

        try
        {
            Directory.CreateDirectory(options.Output);
            string? taken = new[] { TuningState.FileName, ModelConfig.FileName }.FirstOrDefault(name => File.Exists(Path.Combine(options.Output, name)));
            if (taken is not null && !options.Resume)
            {
                throw new UserErrorException(
                    $"'{options.Output}' has a {taken} already: --resume goes on with the training there, and another --output begins one.");
            }

            WholeFile.Try(Path.Combine(options.Output, TuningState.FileName), bytes: 1);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"Cannot write to the output directory '{options.Output}' ({error.Message.TrimEnd('.')}).");
        }
    }

    private static void CheckExamples(IReadOnlyList<TokenizedExample> examples, ModelConfig config)
    {
        int longest = examples.Max(example => example.Tokens.Length);
        if (longest > config.Context)
        {
            throw new UserErrorException($"An example has {longest} tokens, and the model was made for {config.Context}: --length {config.Context} cuts it off there.");
        }

        int highest = examples.Max(example => example.Tokens.Max());
        if (highest >= config.Vocabulary)
        {
            throw new UserErrorException(
                $"The tokenizer makes a token {highest}, and the model has tokens up to {config.Vocabulary - 1}: they do not belong together.");
        }
    }

    private TrainingStep Next()
    {
        long start = Stopwatch.GetTimestamp();
        double learningRate = rate.At(Step);
        MicroBatch[] batches = [.. ranks.Part(Rows(order.Step(Step))).Chunk(options.Rows).Select(rows => MicroBatch.Of(examples, rows, padding))];
        try
        {
            TunerStep step = tuner.Step(batches, learningRate);
            return new TrainingStep(
                Step,
                rate.Steps,
                step.Loss,
                step.Kl,
                step.Entropy,
                step.LabelProbability,
                learningRate,
                step.GradientNorm,
                (long)ranks.Sum(batches.Sum(batch => batch.TokenCount))[0],
                Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        finally
        {
            Array.ForEach(batches, batch => batch.Dispose());
        }
    }

    private int[][] Rows(int[] step) => options.Packing
        ? [.. Packing.FirstFit([.. step.Select(number => examples[number].Tokens.Length)], options.Length)
            .Select(row => row.Select(place => step[place]).ToArray())]
        : [.. step.Select(number => new[] { number })];

    /// <summary>Everything that the numbers of a step depend on.</summary>
    private Dictionary<string, string> Settings(string checkpoint)
    {
        static string Text(double value) => value.ToString("R", CultureInfo.InvariantCulture);

        LoraOptions? lora = options.Lora;
        return new Dictionary<string, string>
        {
            ["--model"] = checkpoint,
            ["--data"] = Fingerprint.Of(examples.Select(example => example.Tokens.Select(token => (long)token).Append(-1 - example.PromptLength).ToArray())),
            ["--mode"] = $"{options.Objective}",
            ["--reference"] = ReferenceSource.Choose(options),
            ["--lora"] = lora is null ? "none" : $"{lora.Rank}, {Text(lora.Alpha)}, {Text(lora.Dropout)}, {string.Join(' ', lora.Targets)}",
            ["--type"] = $"{model.Type}",
            ["--steps"] = $"{rate.Steps}",
            ["--batch"] = $"{options.Batch}",
            ["--rows"] = $"{options.Rows}",
            ["--length"] = $"{options.Length}",
            ["--packing"] = $"{options.Packing}",
            ["--recompute"] = $"{options.Recompute}",
            ["--learning-rate"] = Text(rate.Peak),
            ["--warm-up"] = $"{rate.WarmUp}",
            ["--weight-decay"] = Text(options.WeightDecay),
            ["--clip"] = Text(options.MaxGradientNorm),
            ["--seed"] = $"{options.Seed}",
        };
    }
}
