using static TorchSharp.torch;

namespace FineTune.Model;

/// <summary>The keys and values of every position read so far, so that a new token costs one position's work.</summary>
internal sealed class KeyValueCache : IDisposable
{
    private readonly Tensor[] keys;   // per layer [batch, heads, context, channels]
    private readonly Tensor[] values;

    public KeyValueCache(ModelShape shape, int batch, int context)
    {
        long[] size = [batch, shape.Heads, context, shape.Width / shape.Heads];
        keys = [.. Enumerable.Range(0, shape.Layers).Select(_ => empty(size).DetachFromDisposeScope())];
        values = [.. Enumerable.Range(0, shape.Layers).Select(_ => empty(size).DetachFromDisposeScope())];
    }

    /// <summary>How many positions are filled; the caller advances it after each pass through the model.</summary>
    public long Length { get; set; }

    /// <summary>Stores one position of one layer, and returns all of them.</summary>
    public (Tensor Keys, Tensor Values) Append(int layer, Tensor key, Tensor value)
    {
        keys[layer].narrow(2, Length, 1).copy_(key);
        values[layer].narrow(2, Length, 1).copy_(value);
        return (keys[layer].narrow(2, 0, Length + 1), values[layer].narrow(2, 0, Length + 1));
    }

    public void Dispose()
    {
        foreach (var tensor in keys.Concat(values))
        {
            tensor.Dispose();
        }
    }
}
