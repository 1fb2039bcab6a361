using FineTune.Transformer;
using static TorchSharp.torch;

namespace FineTune.Tuning;

/// <summary>
/// Hidden states and the way back from them. With recomputation (arXiv 1604.06174), of each layer only the input is kept, and what its backward pass
/// needs is computed again when it comes to it. Tensors are of the caller's dispose scope.
/// </summary>
internal sealed class TrainingPass
{
    private readonly Decoder model;
    private readonly SequenceLayout layout;
    private readonly Tensor? embedded;
    private readonly Tensor[] inputs = [];
    private readonly Tensor? last;

    public TrainingPass(Decoder model, Tensor tokens, SequenceLayout layout, bool recompute)
    {
        this.model = model;
        this.layout = layout;
        if (!recompute)
        {
            Hidden = model.Hidden(tokens, layout);
            return;
        }

        embedded = model.Embed(tokens);
        inputs = new Tensor[model.Config.Layers];
        using (no_grad())
        {
            Tensor hidden = embedded.detach();
            for (int layer = 0; layer < inputs.Length; layer++)
            {
                inputs[layer] = hidden;
                hidden = model.Layer(layer, hidden, layout);
            }

            last = hidden.detach();
        }

        last.requires_grad = true;
        Hidden = model.Normalize(last);
    }

    /// <summary>What the head takes, <c>[B, T, d]</c>.</summary>
    public Tensor Hidden { get; }

    /// <summary>From a loss of <see cref="Hidden"/> to all gradients.</summary>
    public void Backward(Tensor loss)
    {
        loss.backward();
        if (last is null)
        {
            return;
        }

        Tensor gradient = last.grad!;
        for (int layer = inputs.Length - 1; layer >= 0; layer--)
        {
            using var scope = NewDisposeScope();
            bool isFirst = layer == 0;
            Tensor input = inputs[layer].detach();
            input.requires_grad = !isFirst || embedded!.requires_grad;
            Tensor output = model.Layer(layer, input, layout);
            if (output.requires_grad)
            {
                output.backward([gradient]);
            }

            if (!input.requires_grad)
            {
                return;
            }

            gradient = input.grad!.MoveToOuterDisposeScope();
            inputs[layer].Dispose();
        }

        embedded!.backward([gradient]);
    }
}
