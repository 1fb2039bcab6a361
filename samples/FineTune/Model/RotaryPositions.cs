using static TorchSharp.torch;

namespace FineTune.Model;

/// <summary>
/// Rotary position embedding (arXiv 2104.09864): turns each pair of channels by an angle that grows with the position, so that
/// the product of a query and a key depends on their distance alone.
/// </summary>
internal sealed class RotaryPositions : nn.Module<Tensor, long, Tensor>
{
    private readonly Tensor cosine; // [context, channels / 2]
    private readonly Tensor sine;

    public RotaryPositions(int context, int channels)
        : base(nameof(RotaryPositions))
    {
        using var scope = NewDisposeScope();
        var frequencies = pow(1000f, arange(0, channels, 2, dtype: float32) / -channels);
        var angles = outer(arange(context, dtype: float32), frequencies);
        register_buffer(nameof(cosine), cosine = angles.cos().MoveToOuterDisposeScope(), persistent: false);
        register_buffer(nameof(sine), sine = angles.sin().MoveToOuterDisposeScope(), persistent: false);
    }

    /// <summary>Turns <c>[..., T, channels]</c>, whose first position is <paramref name="start"/>.</summary>
    public override Tensor forward(Tensor heads, long start)
    {
        long length = heads.size(-2);
        var cos = cosine.narrow(0, start, length);
        var sin = sine.narrow(0, start, length);
        var halves = heads.chunk(2, dim: -1);
        return cat([(halves[0] * cos) - (halves[1] * sin), (halves[0] * sin) + (halves[1] * cos)], dim: -1);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            cosine.Dispose();
            sine.Dispose();
        }

        base.Dispose(disposing);
    }
}
