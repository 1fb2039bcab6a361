using System.Numerics;
using ILGPU;
using ILGPU.Runtime;

namespace Asft.Kernels.Ilgpu;

/// <summary>
/// Takes a call's rows through the device, a chunk at a time: counted rows there, their sums back, the outputs from these, the
/// coefficients of the gradient there, the gradient back.
/// </summary>
internal sealed unsafe class RowChunk : IDisposable
{
    private readonly Accelerator _accelerator;
    private readonly AcceleratorStream _stream;
    private readonly DeviceMemory _policy;
    private readonly DeviceMemory _reference;
    private readonly RowScalars _scalars;
    private readonly Dictionary<RowMode, RowProgram> _programs = [];
    private readonly int _group;
    private long[] _rows = [];
    private double[] _atLabels = [];

    public RowChunk(Accelerator accelerator)
    {
        _accelerator = accelerator;
        _stream = accelerator.DefaultStream;
        _policy = DeviceMemory.Create(accelerator, _stream);
        _reference = DeviceMemory.Create(accelerator, _stream);
        _scalars = new RowScalars(DeviceMemory.Create(accelerator, _stream), DeviceMemory.Create(accelerator, _stream));
        _group = 1 << BitOperations.Log2((uint)Math.Min(accelerator.MaxNumThreadsPerGroup, RowProgram.MaxGroup));
    }

    /// <summary>Works on the next rows.</summary>
    /// <param name="run">The call.</param>
    /// <param name="next">The first of them.</param>
    /// <param name="capacity">How many counted rows to take.</param>
    /// <returns>The first row that was not taken.</returns>
    public long Take(in RowRun run, long next, int capacity)
    {
        if (_rows.Length < capacity)
        {
            _rows = new long[capacity];
            _atLabels = new double[capacity];
        }

        int count = 0;
        for (; next < run.Problem.Rows && count < capacity; next++)
        {
            if (run.Counts(next))
            {
                _rows[count++] = next;
            }
            else
            {
                run.Ignore(next);
            }
        }

        try
        {
            if (count > 0)
            {
                Evaluate(run, _rows.AsSpan(0, count));
            }
        }
        catch
        {
            _stream.Synchronize(); // copies under way may still touch the caller's memory
            throw;
        }

        return next;
    }

    public void Dispose()
    {
        _policy.Dispose();
        _reference.Dispose();
        _scalars.Dispose();
    }

    private void Evaluate(in RowRun run, ReadOnlySpan<long> rows)
    {
        long vocabulary = run.Problem.Vocabulary;
        Upload(_policy, run.Problem.Logits, rows, vocabulary);
        if (run.ReadsReference)
        {
            Upload(_reference, run.Problem.Reference, rows, vocabulary);
        }

        var launch = new RowLaunch(_stream, rows.Length, _group, vocabulary, run.Units.Factor, run.Units.Inner);
        ArrayView<byte> policy = _policy.View;
        ArrayView<byte> reference = run.ReadsReference ? _reference.View : policy;
        _scalars.Prepare(rows.Length, run.Accumulator == ElementType.Float64);
        if (run.NeedsSums)
        {
            Program(run.Sums).LaunchSums(launch, policy, reference, _scalars.Sums.View);
            _scalars.FetchSums();
            _stream.Synchronize();
        }

        for (int i = 0; i < rows.Length; i++)
        {
            long row = rows[i];
            RowState state = run.NeedsSums ? run.Units.StateOf(row, _scalars[i], run.Sums.Use) : run.SavedState(row);
            TokenResult result = run.ResultOf(state);
            if (run.NeedsSums)
            {
                run.Outputs.Write(run.Accumulator, row, state, result, _scalars[i].Predicted);
            }

            if (run.HasGradient)
            {
                GradientCoefficients gradient = result.Gradient(run.ScaleOf(row), run.LabelSlope(row));
                _atLabels[i] = gradient.AtLabel;
                _scalars.Set(i, run.Units.GradientOf(state, gradient));
            }
        }

        if (run.HasGradient)
        {
            _scalars.SubmitGradients();
            Program(run.Differential).LaunchGradient(
                launch, policy, run.Differential.Use == ReferenceUse.None ? policy : reference, _scalars.Gradients.View);
            RowPacking.Read(_policy, run.Gradient.Logits, rows, vocabulary);
            _stream.Synchronize();
            for (int i = 0; i < rows.Length; i++)
            {
                ScalarElement.Write(
                    run.Gradient.Logits.Row(rows[i]), run.Gradient.Logits.Type, run.Problem.Labels[rows[i]], _atLabels[i]);
            }
        }
    }

    private static void Upload(DeviceMemory memory, in LogitMatrix matrix, ReadOnlySpan<long> rows, long vocabulary)
    {
        memory.Reserve(rows.Length * vocabulary * matrix.Type.SizeInBytes());
        RowPacking.Write(memory, matrix, rows, vocabulary);
    }

    private RowProgram Program(RowMode mode)
    {
        if (!_programs.TryGetValue(mode, out RowProgram? program))
        {
            program = RowProgram.Create(_accelerator, mode);
            _programs.Add(mode, program);
        }

        return program;
    }
}
