using System.Runtime.InteropServices;

namespace Asft.Kernels.Tests;

/// <summary>Runs a kernel on plain arrays: converts them to a storage type in native memory, and the results back.</summary>
internal sealed unsafe class KernelRun : IDisposable
{
    /// <summary>Where memory comes from, and goes: the host's, aligned as a device's is, unless a GPU has to reach it.</summary>
    public static (Func<nuint, nint> Allocate, Action<nint> Free) Memory { get; set; } =
        (bytes => (nint)NativeMemory.AlignedAlloc(bytes, 256), block => NativeMemory.AlignedFree((void*)block));

    private readonly List<nint> _blocks = [];
    private readonly long _rows;
    private readonly long _vocabulary;

    public KernelRun(
        LossObjective objective,
        double[] logits,
        double[]? reference,
        long[] labels,
        ElementType type,
        ElementType? referenceType = null,
        int padding = 0,
        double[]? weights = null,
        double[]? labelLogProbabilities = null,
        long[]? topKIndices = null,
        double[]? topKLogProbabilities = null,
        bool entropy = false,
        double[]? givenWeights = null)
    {
        _rows = labels.Length;
        _vocabulary = labels.Length == 0 ? 1 : logits.Length / labels.Length;
        Type = type;
        Stride = _vocabulary + padding;
        Logits = Matrix(logits, type);
        Gradient = new LogitMatrix(Allocate(_rows * Stride * type.SizeInBytes()), type, Stride);
        new Span<byte>(Gradient.Data, (int)(_rows * Stride * type.SizeInBytes())).Fill(0xA5);
        long* y = Integers(labels);
        Problem = new TokenProblem
        {
            Objective = objective,
            Rows = _rows,
            Vocabulary = _vocabulary,
            Logits = Logits,
            Reference = reference is null ? default : Matrix(reference, referenceType ?? type),
            Labels = y,
            Weights = Numbers(weights),
            GivenWeights = Numbers(givenWeights),
            LabelLogProbabilities = Numbers(labelLogProbabilities),
            TopK = topKIndices is null ? default : new TopKReference
            {
                Indices = Integers(topKIndices),
                LogProbabilities = Numbers(topKLogProbabilities),
                Count = topKIndices.Length / labels.Length,
            },
        };
        Outputs = new TokenOutputs
        {
            Loss = Output(),
            LogProbability = Output(),
            Weight = Output(),
            Kl = Output(),
            LogSumExp = Output(),
            ReferenceLogSumExp = Output(),
            Entropy = entropy ? Output() : null,
            SquaredProbabilitySum = entropy ? Output() : null,
            ReferenceLogProbability = Output(),
            Predicted = (long*)Output(),
            State = (RowState*)Allocate(_rows * sizeof(RowState)),
        };
    }

    public ElementType Type { get; }

    public long Stride { get; }

    public TokenProblem Problem { get; }

    public LogitMatrix Logits { get; }

    public LogitMatrix Gradient { get; }

    public TokenOutputs Outputs { get; }

    public ElementType Accumulator => Type == ElementType.Float64 ? ElementType.Float64 : ElementType.Float32;

    /// <summary>Whether the values survive storage as <paramref name="type"/> unchanged.</summary>
    public static bool Holds(double[] values, ElementType type)
    {
        double cell = 0;
        foreach (double value in values)
        {
            ScalarElement.Write(&cell, type, 0, value);
            if (!ScalarElement.Read(&cell, type, 0).Equals(value))
            {
                return false;
            }
        }

        return true;
    }

    public void Forward(ITokenLossKernel kernel, bool inPlace = false, double scale = 1) =>
        kernel.Forward(Problem, Outputs, new TokenGradient { Logits = inPlace ? Logits : Gradient, Scale = scale });

    public void Backward(ITokenLossKernel kernel, double[] upstream, bool inPlace = false, double scale = 1) =>
        Backward(kernel, upstream, Problem, inPlace ? Logits : Gradient, scale);

    public void Backward(
        ITokenLossKernel kernel, double[] upstream, in TokenProblem problem, LogitMatrix gradient, double scale, KeptExponentials? kept = null)
    {
        void* factors = Numbers(upstream);
        kernel.Backward(problem, Outputs, new TokenGradient
        {
            Logits = gradient,
            Scale = scale,
            Upstream = factors,
            UpstreamStride = upstream.Length > 1 ? 1 : 0,
            Kept = kept,
        });
    }

    public double[] Read(void* output) =>
        [.. Enumerable.Range(0, (int)_rows).Select(i => ScalarElement.Read(output, Accumulator, i))];

    public long[] Predicted => new Span<long>(Outputs.Predicted, (int)_rows).ToArray();

    public double[] ReadMatrix(LogitMatrix matrix)
    {
        var values = new double[_rows * _vocabulary];
        for (long i = 0; i < values.Length; i++)
        {
            values[i] = ScalarElement.Read(matrix.Row(i / _vocabulary), matrix.Type, i % _vocabulary);
        }

        return values;
    }

    /// <summary>Every bit that a call wrote, for comparing calls exactly.</summary>
    public byte[] Bits()
    {
        using var all = new MemoryStream();
        foreach (nint output in new[]
        {
            (nint)Outputs.Loss, (nint)Outputs.LogProbability, (nint)Outputs.Weight, (nint)Outputs.Kl, (nint)Outputs.LogSumExp,
            (nint)Outputs.ReferenceLogSumExp, (nint)Outputs.Predicted,
        })
        {
            all.Write(new Span<byte>((void*)output, (int)_rows * sizeof(double)));
        }

        all.Write(new Span<byte>(Gradient.Data, (int)(_rows * Stride * Type.SizeInBytes())));
        all.Write(new Span<byte>(Logits.Data, (int)(_rows * Stride * Type.SizeInBytes())));
        return all.ToArray();
    }

    public void Dispose()
    {
        _blocks.ForEach(Memory.Free);
        _blocks.Clear();
    }

    private LogitMatrix Matrix(double[] values, ElementType type)
    {
        var matrix = new LogitMatrix(Allocate(_rows * Stride * type.SizeInBytes()), type, Stride);
        for (long row = 0; row < _rows; row++)
        {
            for (long i = 0; i < Stride; i++)
            {
                // What lies between two rows is no logit: reading it must show.
                ScalarElement.Write(matrix.Row(row), type, i, i < _vocabulary ? values[(row * _vocabulary) + i] : double.NaN);
            }
        }

        return matrix;
    }

    /// <summary>Numbers in the type of the arithmetic.</summary>
    private void* Numbers(double[]? values)
    {
        if (values is null)
        {
            return null;
        }

        void* numbers = Allocate(values.Length * sizeof(double));
        for (int i = 0; i < values.Length; i++)
        {
            ScalarElement.Write(numbers, Accumulator, i, values[i]);
        }

        return numbers;
    }

    private long* Integers(long[] values)
    {
        long* integers = (long*)Allocate(values.Length * sizeof(long));
        values.CopyTo(new Span<long>(integers, values.Length));
        return integers;
    }

    private void* Output() => Allocate(_rows * sizeof(double));

    /// <summary>Memory that is freed with the run, full of zeros.</summary>
    public void* Allocate(long bytes)
    {
        nuint size = (nuint)Math.Max(bytes, 8);
        void* block = (void*)Memory.Allocate(size);
        NativeMemory.Clear(block, size);
        _blocks.Add((nint)block);
        return block;
    }
}
