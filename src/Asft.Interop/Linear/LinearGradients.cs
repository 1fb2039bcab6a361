using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// Gradients of the inputs that need one, summed up block by block in the accumulator's dtype; they are rounded to their inputs'
/// dtype once, when everything is in them.
/// </summary>
internal sealed class LinearGradients
{
    private readonly Tensor? _hidden;
    private readonly Tensor? _weight;
    private readonly Tensor? _bias;
    private bool _any; // false before the first block, which overwrites fresh memory instead of adding to zeros

    /// <summary>Makes room.</summary>
    /// <param name="inputs">The inputs.</param>
    /// <param name="needs">Which of hidden, weight and bias need a gradient.</param>
    /// <param name="rows">The rows that count.</param>
    public LinearGradients(LinearInputs inputs, GradientNeeds needs, CountedRows rows)
    {
        ScalarType type = inputs.Accumulator;
        Device device = inputs.Hidden.device;
        _hidden = needs.Hidden ? TensorPool.Empty([rows.Total, inputs.Hidden.size(-1)], type, device).zero_() : null;
        _weight = needs.Weight ? TensorPool.Empty(inputs.Weight.shape, type, device) : null;
        _bias = needs.Bias ? TensorMemory.Empty([inputs.Vocabulary], type, device) : null;
        if (rows.Count == 0)
        {
            _weight?.zero_();
            _bias?.zero_();
        }

        Shape = inputs.Hidden.shape;
    }

    /// <summary>Shape of the hidden states.</summary>
    private long[] Shape { get; }

    /// <summary>The gradients of hidden, weight and bias, in this order, without those that nobody needs.</summary>
    public List<Tensor> ToList()
    {
        List<Tensor> list = [];
        if (_hidden is not null)
        {
            list.Add(_hidden.view(Shape));
        }

        if (_weight is not null)
        {
            list.Add(_weight);
        }

        if (_bias is not null)
        {
            list.Add(_bias);
        }

        return list;
    }

    /// <summary>Adds up what the ranks' rows of the head contribute to the gradient of the hidden states, which all of them have.</summary>
    public void SumHidden(IProcessGroup group)
    {
        if (_hidden is not null)
        {
            GroupMemory.Sum(group, _hidden);
        }
    }

    /// <summary>Takes in what one block of rows contributes.</summary>
    /// <param name="head">The policy's head.</param>
    /// <param name="rows">The rows that count.</param>
    /// <param name="first">First counted token of the block.</param>
    /// <param name="input">The hidden states of the block.</param>
    /// <param name="logitGradient">The gradient of its logits, of which nothing is left then.</param>
    public void Add(Projection head, CountedRows rows, long first, Tensor input, Tensor logitGradient)
    {
        if (_bias is not null)
        {
            Tensor sum = logitGradient.sum([0L]); // a plain 0 would be taken for a dtype
            _ = _any ? _bias.add_(sum) : _bias.copy_(sum);
        }

        head.Prepare(logitGradient);
        if (_weight is not null)
        {
            head.WeightGradient(logitGradient, input, _weight, add: _any);
        }

        if (_hidden is not null)
        {
            if (rows.Run(_hidden, first, input.size(0)) is Tensor inPlace)
            {
                head.InputGradient(logitGradient, inPlace);
            }
            else
            {
                Tensor block = TensorMemory.Empty(input.shape, _hidden.dtype, _hidden.device);
                head.InputGradient(logitGradient, block);
                rows.Scatter(block, first, _hidden);
            }
        }

        _any = true;
    }
}
