using static TorchSharp.torch;

namespace FineTune.Transformer;

/// <summary>Keys and values of the tokens read so far, of each layer, so that a new token costs one token's work.</summary>
internal sealed class KeyValues(int layers) : IDisposable
{
    private readonly (Tensor Keys, Tensor Values)?[] read = new (Tensor, Tensor)?[layers];

    /// <summary>How many tokens have been read.</summary>
    public long Length => read[^1]?.Keys.size(2) ?? 0;

    /// <summary>Adds those of new tokens, <c>[B, heads, T, channels]</c>, and returns all.</summary>
    public (Tensor Keys, Tensor Values) Append(int layer, Tensor keys, Tensor values)
    {
        (Tensor Keys, Tensor Values)? before = read[layer];
        Tensor allKeys = before is null ? keys.clone() : cat([before.Value.Keys, keys], dim: 2);
        Tensor allValues = before is null ? values.clone() : cat([before.Value.Values, values], dim: 2);
        before?.Keys.Dispose();
        before?.Values.Dispose();
        read[layer] = (allKeys.DetachFromDisposeScope(), allValues.DetachFromDisposeScope());
        return read[layer]!.Value;
    }

    public void Dispose()
    {
        foreach ((Tensor Keys, Tensor Values)? layer in read)
        {
            layer?.Keys.Dispose();
            layer?.Values.Dispose();
        }
    }
}
