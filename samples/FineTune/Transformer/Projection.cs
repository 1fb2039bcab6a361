using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Transformer;

/// <summary>
/// A matrix product, with a bias where the family has one, and with an adapter where LoRA is asked for. The adapter's two factors are float32
/// whatever the weight is: they are small, and small updates to them must count.
/// </summary>
internal sealed class Projection : nn.Module<Tensor, Tensor>
{
    private readonly Parameter weight; // [out, in]
    private readonly Parameter? bias;
    private Parameter? loraA; // [rank, in]
    private Parameter? loraB; // [out, rank]
    private double scale;
    private double dropout;

    public Projection(long inputs, long outputs, bool hasBias, ScalarType type)
        : base(nameof(Projection))
    {
        weight = new Parameter(empty([outputs, inputs], type));
        register_parameter(nameof(weight), weight);
        if (hasBias)
        {
            bias = new Parameter(zeros([outputs], type));
            register_parameter(nameof(bias), bias);
        }
    }

    /// <summary>The weight <c>[out, in]</c>, without the adapter.</summary>
    public Parameter Weight => weight;

    /// <summary>Whether the adapter takes part.</summary>
    public bool AdapterOn { get; set; } = true;

    /// <summary>Adds an adapter that does nothing yet: the second factor is 0, the first random as torch's linear layers are.</summary>
    public void AddAdapter(LoraOptions options)
    {
        double bound = 1 / Math.Sqrt(weight.size(1));
        loraA = new Parameter(empty([options.Rank, weight.size(1)], ScalarType.Float32, weight.device).uniform_(-bound, bound));
        loraB = new Parameter(zeros([weight.size(0), options.Rank], ScalarType.Float32, weight.device));
        register_parameter(nameof(loraA), loraA);
        register_parameter(nameof(loraB), loraB);
        scale = options.Alpha / options.Rank;
        dropout = options.Dropout;
    }

    /// <summary>
    /// The weight with the adapter in it, rounded once: what a checkpoint without adapters has. The weight itself if there is no adapter.
    /// </summary>
    public Tensor Merged() =>
        loraA is null ? weight : (weight.to(ScalarType.Float32) + (scale * loraB!.matmul(loraA))).to(weight.dtype);

    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor output = nn.functional.linear(input, weight, bias);
        if (loraA is not null && AdapterOn)
        {
            Tensor kept = nn.functional.dropout(input.to(ScalarType.Float32), dropout, training && dropout > 0);
            Tensor update = nn.functional.linear(nn.functional.linear(kept, loraA), loraB!);
            output = output + (scale * update).to(output.dtype);
        }

        return output.MoveToOuterDisposeScope();
    }
}
