using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The buffers of one pass over the rows, reused by every block: inputs and logits of a block, reference included. How many rows
/// a block has follows from the bytes that may be spent.
/// </summary>
/// <remarks>
/// Where policy and reference share a head, a block's reference rows lie directly below its policy rows, and one product makes
/// the logits of both: it reads the weight once instead of twice.
/// </remarks>
internal sealed class Workspace
{
    /// <summary>Part of the budget for each converted panel of a half-precision weight.</summary>
    private const long PanelShare = 8;

    private readonly Tensor _input;
    private readonly Tensor _logits;
    private readonly Tensor? _referenceInput;
    private readonly Tensor? _referenceLogits;
    private readonly Projection? _referenceHead;
    private readonly bool _stacked;

    /// <summary>Allocates.</summary>
    /// <param name="inputs">The inputs; the reference is used if its hidden states are there.</param>
    /// <param name="options">The budget.</param>
    /// <param name="rows">Number of rows that there are in all, at least 1.</param>
    /// <param name="hasGradient">Whether gradients of the logits lead back to the inputs.</param>
    public Workspace(LinearInputs inputs, LinearLossOptions options, long rows, bool hasGradient)
    {
        var budget = WorkspaceBudget.Of(options, inputs.Weight);
        long panelBytes = budget.Bytes / PanelShare;
        _stacked = inputs is { ReferenceHidden: not null, ReferenceWeight: null };
        Head = Projection.Of(inputs.Weight, inputs.Bias, _stacked ? [inputs.Hidden, inputs.ReferenceHidden!] : [inputs.Hidden], panelBytes);
        long kept = Head.Bytes;
        long rowBytes = (RowBytes(inputs.Weight) * (_stacked ? 2 : 1)) + (hasGradient ? Head.GradientRowBytes : 0);
        if (inputs.ReferenceWeight is not null)
        {
            _referenceHead = Projection.Of(inputs.ReferenceWeight, inputs.ReferenceBias, [inputs.ReferenceHidden!], panelBytes);
            kept += _referenceHead.Bytes;
            rowBytes += RowBytes(inputs.ReferenceWeight);
        }

        // Blocks of one size rather than a small one at the end, which would run badly; but of whole tiles, where there are tiles.
        long multiple = Head.RowMultiple;
        long largest = budget.Rows(kept, rowBytes);
        largest = largest < multiple ? largest : largest / multiple * multiple;
        long blocks = (rows + largest - 1) / largest;
        BlockRows = Math.Min(largest, Multiple((rows + blocks - 1) / blocks, multiple));

        Device device = inputs.Weight.device;
        long stack = Multiple(_stacked ? 2 * BlockRows : BlockRows, multiple);
        _input = TensorMemory.Empty([stack, inputs.Weight.size(1)], Head.InputType, device);
        _logits = Rows(stack, inputs.Vocabulary, Head.Type, device);
        if (hasGradient)
        {
            Head.ReserveGradient(BlockRows);
        }

        if (_referenceHead is not null)
        {
            long referenceRows = Multiple(BlockRows, _referenceHead.RowMultiple);
            _referenceInput = TensorMemory.Empty([referenceRows, inputs.ReferenceWeight!.size(1)], _referenceHead.InputType, device);
            _referenceLogits = Rows(referenceRows, inputs.Vocabulary, _referenceHead.Type, device);
        }
    }

    /// <summary>The policy's head.</summary>
    public Projection Head { get; }

    /// <summary>Rows of a block; the last one may have fewer.</summary>
    public long BlockRows { get; private set; }

    /// <summary>Makes blocks smaller, as those of other ranks may have to be.</summary>
    public void Limit(long blockRows) => BlockRows = Math.Min(BlockRows, blockRows);

    /// <summary>
    /// Makes the logits of some counted tokens. The results are views of the buffers, valid until the next call.
    /// </summary>
    /// <param name="hidden">Hidden states of all rows, <c>[Total, d]</c>.</param>
    /// <param name="referenceHidden">The same of the reference, or null.</param>
    /// <param name="rows">The rows that count.</param>
    /// <param name="first">First counted token.</param>
    /// <param name="count">How many.</param>
    public (Tensor Input, Tensor Logits, Tensor? Reference) Fill(Tensor hidden, Tensor? referenceHidden, CountedRows rows, long first, long count)
    {
        Tensor input = _input.narrow(0, 0, count);
        Tensor logits = _logits.narrow(0, 0, count);
        rows.Gather(hidden, first, input);
        if (_stacked)
        {
            rows.Gather(referenceHidden!, first, _input.narrow(0, count, count));
            Head.Logits(_input.narrow(0, 0, 2 * count), _logits.narrow(0, 0, 2 * count));
            return (input, logits, _logits.narrow(0, count, count));
        }

        Head.Logits(input, logits);
        if (_referenceHead is null)
        {
            return (input, logits, null);
        }

        Tensor referenceInput = _referenceInput!.narrow(0, 0, count);
        Tensor referenceLogits = _referenceLogits!.narrow(0, 0, count);
        rows.Gather(referenceHidden!, first, referenceInput);
        _referenceHead.Logits(referenceInput, referenceLogits);
        return (input, logits, referenceLogits);
    }

    /// <summary>
    /// Memory for rows of logits that lie an odd number of cache lines apart: columns of them, which the products read, would else meet in a
    /// few sets of the caches wherever the vocabulary is a multiple of a power of two.
    /// </summary>
    private static Tensor Rows(long rows, long vocabulary, ScalarType type, Device device)
    {
        const long Line = 64;
        long size = type == ScalarType.Float64 ? sizeof(double) : sizeof(float);
        long lines = ((vocabulary * size) + Line - 1) / Line;
        return TensorPool.Empty([rows, (lines | 1) * Line / size], type, device).narrow(1, 0, vocabulary);
    }

    private static long Multiple(long value, long of) => (value + of - 1) / of * of;

    /// <summary>What one row takes: its logits and its input.</summary>
    private static long RowBytes(Tensor weight) =>
        (weight.size(0) + weight.size(1)) * (weight.dtype == ScalarType.Float64 ? sizeof(double) : sizeof(float));
}
