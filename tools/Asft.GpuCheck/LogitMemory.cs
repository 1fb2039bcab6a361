using Asft.Kernels;

namespace Asft.GpuCheck;

/// <summary>
/// The device memory of a problem: logits like a language model's, from which a gradient in place is made again and again, a reference near
/// to them, labels and losses.
/// </summary>
internal sealed unsafe class LogitMemory : IDisposable
{
    /// <summary>Different numbers; beyond that they repeat.</summary>
    private const int Different = 1 << 20;

    private readonly GpuDevice _device;
    private readonly ElementType _type;
    private readonly long _rows;
    private readonly long _vocabulary;
    private readonly List<nint> _memory = [];
    private readonly void* _fresh;
    private readonly void* _logits;
    private readonly void* _reference;
    private readonly long* _labels;

    /// <summary>Takes memory and fills it.</summary>
    public LogitMemory(GpuDevice device, ElementType type, long rows, long vocabulary)
    {
        (_device, _type, _rows, _vocabulary) = (device, type, rows, vocabulary);
        var random = new Random(1);
        double[] logits = [.. Enumerable.Range(0, (int)Math.Min(Different, rows * vocabulary)).Select(_ => Normal(random) * 3)];
        _fresh = Filled(logits);
        _reference = Filled([.. logits.Select(x => x + (Normal(random) / 4))]);
        _logits = Allocate(Bytes);
        Loss = Allocate(rows * sizeof(double));
        long[] labels = [.. Enumerable.Range(0, (int)rows).Select(_ => random.NextInt64(vocabulary))];
        _labels = (long*)Allocate(rows * sizeof(long));
        fixed (long* host = labels)
        {
            device.CopyToDevice(_labels, host, rows * sizeof(long));
        }
    }

    /// <summary>Where losses go.</summary>
    public void* Loss { get; }

    private long Bytes => _rows * _vocabulary * _type.SizeInBytes();

    /// <summary>The problem.</summary>
    /// <param name="objective">The objective.</param>
    /// <returns>The problem, with a reference where the objective needs one.</returns>
    public TokenProblem Problem(LossObjective objective) => new()
    {
        Objective = objective,
        Rows = _rows,
        Vocabulary = _vocabulary,
        Logits = new LogitMatrix(_logits, _type, _vocabulary),
        Reference = objective.NeedsReference ? new LogitMatrix(_reference, _type, _vocabulary) : default,
        Labels = _labels,
    };

    /// <summary>Makes the logits what they were, when the stream gets there.</summary>
    public void Refresh() => _device.CopyOnDevice(_logits, _fresh, Bytes);

    /// <inheritdoc/>
    public void Dispose() => _memory.ForEach(_device.Free);

    /// <summary>Memory full of some numbers, over and over: each copy doubles what is there.</summary>
    private void* Filled(double[] numbers)
    {
        byte* memory = (byte*)Allocate(Bytes);
        byte[] stored = new byte[numbers.Length * _type.SizeInBytes()];
        fixed (byte* host = stored)
        {
            for (int i = 0; i < numbers.Length; i++)
            {
                ScalarElement.Write(host, _type, i, numbers[i]);
            }

            _device.CopyToDevice(memory, host, stored.Length);
        }

        for (long filled = stored.Length; filled < Bytes; filled *= 2)
        {
            _device.CopyOnDevice(memory + filled, memory, Math.Min(filled, Bytes - filled));
        }

        return memory;
    }

    private void* Allocate(long bytes)
    {
        void* memory = _device.Driver.Allocate(_device.Ordinal, bytes);
        _memory.Add((nint)memory);
        return memory;
    }

    private static double Normal(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
