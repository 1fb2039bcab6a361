using FineTune.Checkpoint;
using static TorchSharp.torch;

namespace FineTune.Transformer;

/// <summary>
/// Where the tokens of a batch stand and which of them see each other; the same for all layers, so it is made once. Tensors of the caller's
/// dispose scope.
/// </summary>
/// <param name="Cosine">Of the rotary angles, <c>[B or 1, 1, T, channels / 2]</c>.</param>
/// <param name="Sine">Likewise.</param>
/// <param name="Mask">What a token attends to, <c>[B, 1, T, T]</c>; null for all tokens before it.</param>
internal sealed record SequenceLayout(Tensor Cosine, Tensor Sine, Tensor? Mask)
{
    /// <summary>Whether a token attends to those before it only; without it, as where one token continues a text, to all.</summary>
    public bool Causal { get; init; } = true;

    /// <summary>Seed of what a layer's dropout draws, to which the layer's number is added: the same at each computation of the layer.</summary>
    public long? DropoutSeed { get; init; }

    /// <summary>One text in each row, of tokens in order.</summary>
    /// <param name="config">The model.</param>
    /// <param name="start">Position of the first token.</param>
    /// <param name="length">Number of tokens.</param>
    /// <param name="like">A tensor of the model's dtype and device.</param>
    public static SequenceLayout Plain(ModelConfig config, long start, long length, Tensor like) =>
        Of(config, arange(start, start + length, dtype: ScalarType.Int64, device: like.device).unsqueeze(0), like) with { Causal = length > 1 };

    /// <summary>Several texts in a row: each token attends to those at or before it of its own text.</summary>
    /// <param name="config">The model.</param>
    /// <param name="positions">Place of each token in its text, int64 <c>[B, T]</c>.</param>
    /// <param name="segments">The text of each token, <c>[B, T]</c>.</param>
    /// <param name="like">A tensor of the model's dtype and device.</param>
    public static SequenceLayout Packed(ModelConfig config, Tensor positions, Tensor segments, Tensor like)
    {
        using var scope = NewDisposeScope();
        Tensor same = segments.unsqueeze(2).eq(segments.unsqueeze(1));
        Tensor mask = same.tril().unsqueeze(1);
        SequenceLayout layout = Of(config, positions, like) with { Mask = mask };
        layout.Cosine.MoveToOuterDisposeScope();
        layout.Sine.MoveToOuterDisposeScope();
        mask.MoveToOuterDisposeScope();
        return layout;
    }

    /// <summary>Turns each pair of channels of <c>[B, heads, T, channels]</c> by the angle of its position; a pair is half a head apart.</summary>
    public Tensor Rotate(Tensor heads)
    {
        using var scope = NewDisposeScope();
        Tensor[] halves = heads.chunk(2, dim: -1);
        return cat([(halves[0] * Cosine) - (halves[1] * Sine), (halves[1] * Cosine) + (halves[0] * Sine)], dim: -1).MoveToOuterDisposeScope();
    }

    private static SequenceLayout Of(ModelConfig config, Tensor positions, Tensor like)
    {
        using var scope = NewDisposeScope();
        Tensor frequencies = tensor(config.RotaryScaling.Frequencies(config.RotaryTheta, config.HeadSize), ScalarType.Float32, like.device);
        Tensor angles = (positions.to(ScalarType.Float32).unsqueeze(-1) * frequencies).unsqueeze(1);
        return new SequenceLayout(
            angles.cos().to(like.dtype).MoveToOuterDisposeScope(), angles.sin().to(like.dtype).MoveToOuterDisposeScope(), Mask: null);
    }
}
