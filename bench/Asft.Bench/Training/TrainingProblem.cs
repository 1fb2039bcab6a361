using Asft.Bench.Measuring;
using Asft.Interop;
using Asft.Kernels;
using FineTune.Checkpoint;
using FineTune.Text;
using FineTune.Transformer;
using FineTune.Tuning;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace Asft.Bench.Training;

/// <summary>
/// Whole training steps of a model of 24.9 M parameters on 2 x 512 tokens: forward and backward pass, clipping, AdamW. All cases have the same model
/// and optimizer, the fine-tuning program's; they differ in the loss. The reference is a cache of hidden states, in memory.
/// </summary>
internal sealed class TrainingProblem : IDisposable
{
    public const string AsftSft = "SFT with Asft";
    public const string AsftAsft = "ASFT with Asft";
    public const string ComposedSft = "SFT composed";
    public const string ComposedAsft = "ASFT composed";

    private const int Rows = 2;
    private const int Length = 512;
    private const double Rate = 1e-5;

    private static readonly ModelConfig s_config = new()
    {
        Vocabulary = 32000,
        Width = 256,
        InnerWidth = 1048,
        Layers = 8,
        Heads = 8,
        KeyValueHeads = 8,
        HeadSize = 32,
        Context = Length,
    };

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Decoder _model;
    private readonly MicroBatch _batch;
    private readonly Tensor _states;
    private readonly Tensor _head;
    private readonly Tuner _sft;
    private readonly Tuner _asft;

    /// <param name="type">Dtype of the weights.</param>
    /// <param name="ignored">Share of the labels that are prompts'.</param>
    public TrainingProblem(ScalarType type, double ignored)
    {
        manual_seed(1);
        _model = new Decoder(s_config, type);
        using (no_grad())
        {
            foreach ((_, Parameter parameter) in _model.Weights)
            {
                if (parameter.dim() > 1)
                {
                    parameter.normal_(0, 0.02);
                }
            }

            _states = randn([Rows, Length, s_config.Width], type);
            _head = _model.HeadWeight.detach().clone();
        }

        var random = new Random(1);
        TokenizedExample[] examples =
        [
            .. Enumerable.Range(0, Rows).Select(_ => new TokenizedExample(
                [.. Enumerable.Range(0, Length).Select(_ => random.Next(s_config.Vocabulary))], (int)(ignored * Length))),
        ];
        _batch = MicroBatch.Of(examples, [.. Enumerable.Range(0, Rows).Select(row => new[] { row })], padding: 0);
        _sft = new Tuner(_model, LossObjective.Sft, anchor: null, new TunerOptions());
        _asft = new Tuner(_model, LossObjective.Asft(), new StateAnchor(_states, _head), new TunerOptions());
        Cases =
        [
            new(AsftSft, () => _sft.Step([_batch], Rate)),
            new(AsftAsft, () => _asft.Step([_batch], Rate)),
            new(ComposedSft, () => Composed(LossObjective.Sft, _sft.Optimizer)),
            new(ComposedAsft, () => Composed(LossObjective.Asft(), _asft.Optimizer)),
        ];
    }

    public IReadOnlyList<TimedCase> Cases { get; }

    /// <summary>Millions of parameters.</summary>
    public double Parameters => _model.parameters().Sum(parameter => (double)parameter.numel()) / 1e6;

    /// <summary>The most memory of a step beyond weights and optimizer, in bytes. The first step has made what later ones find in place.</summary>
    public long PeakMemory(string name)
    {
        TimedCase measured = Cases.Single(one => one.Name == name);
        measured.Run();
        var meter = PeakMeter.Start();
        measured.Run();
        return meter.Stop();
    }

    public void Dispose()
    {
        _sft.Dispose();
        _asft.Dispose();
        _batch.Dispose();
        _model.Dispose();
        _scope.Dispose();
    }

    /// <summary>The same step with the loss as it is written without Asft: the head applied to every token, and torch's operations on the logits.</summary>
    private void Composed(LossObjective objective, MasterAdamW optimizer)
    {
        using DisposeScope scope = NewDisposeScope();
        SequenceLayout layout = _batch.Layout(s_config, _model.HeadWeight);
        Tensor hidden = _model.Hidden(_batch.Tokens, layout);
        Tensor logits = Shifted(nn.functional.linear(hidden, _model.HeadWeight));
        Tensor? reference = null;
        if (objective.NeedsReference)
        {
            using IDisposable noGrad = no_grad();
            reference = Shifted(nn.functional.linear(_states, _head));
        }

        Tensor labels = _batch.Labels.narrow(1, 1, Length - 1).flatten();
        Peers.Composed.Loss(objective, logits, labels, reference).backward();
        optimizer.Accumulate();
        double norm = optimizer.GradientNorm();
        optimizer.Step(Rate, norm > 1 ? 1 / norm : 1);
    }

    private static Tensor Shifted(Tensor logits) => logits.narrow(1, 0, Length - 1).flatten(0, 1);

    private sealed class StateAnchor(Tensor states, Tensor head) : IAnchor
    {
        public TokenReference Of(MicroBatch batch) => TokenReference.Hidden(states, head);
    }
}
