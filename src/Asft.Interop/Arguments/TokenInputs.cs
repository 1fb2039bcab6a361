using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// What a loss takes of each token besides logits, one row per token as the kernels take it: labels, the caller's weights, and what was kept of a
/// reference. Always copies, which nobody else can change.
/// </summary>
internal sealed unsafe class TokenInputs : IDisposable
{
    private const string ReferenceName = "reference";

    private void* _weightData;
    private ElementType _weightType;
    private Tensor? _indices;
    private Tensor? _logProbabilities;
    private Tensor? _givenWeights;

    private readonly VocabularyShard? _shard;

    private TokenInputs(RowLabels labels, VocabularyShard? shard)
    {
        Labels = labels;
        _shard = shard;
    }

    /// <summary>The labels.</summary>
    public RowLabels Labels { get; }

    /// <summary>How many tokens there are.</summary>
    public long Count => Labels.Count;

    /// <summary>Whether the logits are some columns of a vocabulary that other ranks have parts of.</summary>
    public bool IsShard => _shard is not null;

    /// <summary>The caller's factor of each token's loss, shaped like the labels; null for 1.</summary>
    public Tensor? Weights { get; private set; }

    /// <summary>The reference's log-probability of each label; null where it is not what is known of it.</summary>
    public Tensor? LabelLogProbabilities { get; private set; }

    /// <summary>The indices and log-probabilities of the reference's entries; null where they are not what is known of it.</summary>
    public (Tensor Indices, Tensor LogProbabilities)? Entries => _indices is null ? null : (_indices, _logProbabilities!);

    /// <summary>Copies them.</summary>
    /// <param name="arguments">The arguments of the loss.</param>
    /// <param name="type">The dtype of the arithmetic.</param>
    public static TokenInputs Of(TokenArguments arguments, ScalarType type)
    {
        bool shift = arguments.ShiftLabels;
        var inputs = new TokenInputs(RowLabels.Of(arguments.Labels, shift, arguments.Objective.IgnoreIndex), arguments.Shard);
        try
        {
            if (arguments.TokenWeights is not null)
            {
                inputs.Weights = Copy(arguments.TokenWeights, type, inputs, shift);
                inputs._weightData = TensorMemory.Pointer(inputs.Weights);
                inputs._weightType = TensorMemory.TypeOf(inputs.Weights)!.Value;
            }

            switch (arguments.Reference)
            {
                case LabelReference kept:
                    inputs.LabelLogProbabilities = Copy(kept.LogProbabilities, type, inputs, shift);
                    break;
                case EntriesReference kept:
                    inputs._indices = Copy(kept.Indices, ScalarType.Int64, inputs, shift);
                    inputs._logProbabilities = Copy(kept.LogProbabilities, type, inputs, shift);
                    break;
            }

            return inputs;
        }
        catch
        {
            inputs.Dispose();
            throw;
        }
    }

    /// <summary>Those of some tokens, one after the other.</summary>
    /// <param name="places">Their places among all tokens, int64, where the tokens are.</param>
    public TokenInputs Select(Tensor places) => new(
        RowLabels.Of(DeviceServices.Current.Rows(Labels.ToTensor().reshape(-1), places), shift: false, ignoreIndex: 0), _shard)
    {
        Weights = RowsOf(Weights, places),
        LabelLogProbabilities = RowsOf(LabelLogProbabilities, places),
        _indices = RowsOf(_indices, places),
        _logProbabilities = RowsOf(_logProbabilities, places),
    };

    /// <summary>Takes the weights that a caller's weighting returned, to stand in place of the objective's.</summary>
    /// <param name="weights">As many as there are tokens, any floating dtype.</param>
    /// <param name="type">The dtype of the arithmetic.</param>
    public void Give(Tensor weights, ScalarType type) => _givenWeights = TensorMemory.Empty([Count], type, weights.device)
        .copy_(weights.detach().reshape(-1)).DetachFromDisposeScope();

    /// <summary>A kernel's view of some tokens.</summary>
    /// <param name="objective">The objective.</param>
    /// <param name="vocabulary">Columns of the logits: V, or those of a shard.</param>
    /// <param name="logits">Their logits.</param>
    /// <param name="reference">Their reference logits; <c>default</c> for none, or none to be read.</param>
    /// <param name="first">The first of them.</param>
    /// <param name="count">How many; null for all.</param>
    public TokenProblem Problem(
        LossObjective objective, long vocabulary, LogitMatrix logits, LogitMatrix reference, long first = 0, long? count = null) => new()
        {
            Objective = objective,
            Rows = count ?? Count,
            Vocabulary = vocabulary,
            WholeVocabulary = _shard?.Vocabulary ?? 0,
            FirstColumn = _shard?.FirstColumn ?? 0,
            Logits = logits,
            Reference = reference,
            Labels = Labels.Pointer + first,
            Weights = TensorMemory.PointerOrNull(Weights, first),
            GivenWeights = TensorMemory.PointerOrNull(_givenWeights, first),
            LabelLogProbabilities = TensorMemory.PointerOrNull(LabelLogProbabilities, first),
            TopK = _indices is null ? default : new Kernels.TopKReference
            {
                Indices = (long*)TensorMemory.PointerOrNull(_indices, first * _indices.size(-1)),
                LogProbabilities = TensorMemory.PointerOrNull(_logProbabilities, first * _indices.size(-1)),
                Count = (int)_indices.size(-1),
            },
        };

    /// <summary>Checks the values, which are in host memory.</summary>
    /// <param name="arguments">The arguments of the loss.</param>
    /// <param name="vocabulary">Vocabulary size V.</param>
    /// <exception cref="ArgumentOutOfRangeException">A label is neither in <c>[0, V)</c> nor the ignore index, or a log-probability is above 0.</exception>
    /// <exception cref="ArgumentException">The entries of a token's reference are not distinct indices in <c>[0, V)</c> of one distribution.</exception>
    public void Check(TokenArguments arguments, long vocabulary)
    {
        Labels.Check(arguments.ShiftLabels, vocabulary, arguments.Objective.IgnoreIndex);
        switch (arguments.Reference)
        {
            case LabelReference kept:
                new LogProbabilityCheck(this, arguments, LabelLogProbabilities!, kept.LogProbabilities.dtype, ReferenceName).Labels();
                break;
            case EntriesReference kept:
                new LogProbabilityCheck(this, arguments, _logProbabilities!, kept.LogProbabilities.dtype, ReferenceName).Entries(_indices!, vocabulary);
                break;
        }
    }

    /// <summary>Whether a token counts: its label is not ignored, and its weight not 0. The inputs are in host memory.</summary>
    public bool Counts(long token, long ignoreIndex) =>
        RowPlan.Counts(Labels.Pointer, ignoreIndex, _weightData, _weightType, token);

    /// <summary>Frees the copies.</summary>
    public void Dispose()
    {
        Labels.Dispose();
        Weights?.Dispose();
        LabelLogProbabilities?.Dispose();
        _indices?.Dispose();
        _logProbabilities?.Dispose();
        _givenWeights?.Dispose();
    }

    /// <summary>A contiguous copy of one value, or one row of values, for each label.</summary>
    private static Tensor Copy(Tensor from, ScalarType type, TokenInputs inputs, bool shift)
    {
        Tensor to = TensorMemory.Empty(TensorMemory.Shape(from), type, from.device).DetachFromDisposeScope();
        if (!shift || to.numel() == 0)
        {
            return to.copy_(from);
        }

        int along = inputs.Labels.Shape.Length - 1;
        long length = inputs.Labels.Shape[^1];
        using Tensor before = to.narrow(along, 0, length - 1);
        using Tensor after = from.narrow(along, 1, length - 1);
        using Tensor last = to.narrow(along, length - 1, 1);
        before.copy_(after);
        last.zero_(); // of a label that is ignored
        return to;
    }

    private Tensor? RowsOf(Tensor? all, Tensor places)
    {
        if (all is null)
        {
            return null;
        }

        using Tensor rows = all.dim() > Labels.Shape.Length ? all.reshape(Count, all.size(-1)) : all.reshape(Count);
        return DeviceServices.Current.Rows(rows, places).DetachFromDisposeScope();
    }
}
