using System.Numerics;
using System.Runtime.InteropServices;
using Asft.Kernels.Ilgpu.OnDevice;
using ILGPU;
using ILGPU.Runtime;

namespace Asft.Kernels.Ilgpu;

/// <summary>
/// Takes a call's rows through the device, a chunk at a time: counted rows there, their sums back, the outputs from these, the
/// coefficients of the gradient there, the gradient back.
/// </summary>
internal sealed unsafe class RowChunk : IDisposable
{
    private readonly Func<ProgramKey, RowProgram> _create;
    private readonly AcceleratorStream _stream;
    private readonly DeviceMemory _policy;
    private readonly DeviceMemory _reference;
    private readonly RowScalars _scalars;
    private readonly Dictionary<ProgramKey, RowProgram> _programs = [];
    private readonly List<(long Row, long Column, double Value)> _byHost = [];
    private readonly int _group;
    private long[] _rows = [];
    private TopKEntry[] _entries = [];

    /// <summary>A chunk of no rows yet.</summary>
    /// <param name="accelerator">The device.</param>
    /// <param name="create">Makes the program of a key.</param>
    public RowChunk(Accelerator accelerator, Func<ProgramKey, RowProgram> create)
    {
        _create = create;
        _stream = accelerator.DefaultStream;
        _policy = DeviceMemory.Create(accelerator, _stream);
        _reference = DeviceMemory.Create(accelerator, _stream);
        _scalars = new RowScalars(DeviceMemory.Create(accelerator, _stream), DeviceMemory.Create(accelerator, _stream));
        _group = 1 << BitOperations.Log2((uint)Math.Min(accelerator.MaxNumThreadsPerGroup, RowProgram.MaxGroup));
    }

    /// <summary>Works on the next rows.</summary>
    /// <param name="plan">The call.</param>
    /// <param name="units">Between the device's numbers and the host's.</param>
    /// <param name="next">The first of them.</param>
    /// <param name="capacity">How many counted rows to take.</param>
    /// <returns>The first row that was not taken.</returns>
    public long Take(in RowPlan plan, in RowUnits units, long next, int capacity)
    {
        if (_rows.Length < capacity)
        {
            _rows = new long[capacity];
        }

        int count = 0;
        for (; next < plan.Problem.Rows && count < capacity; next++)
        {
            if (plan.Counts(next))
            {
                _rows[count++] = next;
            }
            else
            {
                Ignore(plan, next);
            }
        }

        try
        {
            if (count > 0)
            {
                Evaluate(plan, units, _rows.AsSpan(0, count));
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

    private void Evaluate(in RowPlan plan, in RowUnits units, ReadOnlySpan<long> rows)
    {
        long vocabulary = plan.Problem.Vocabulary;
        bool reads = plan.Reads != ReferenceUse.None;
        Upload(_policy, plan.Problem.Logits, rows, vocabulary);
        if (reads)
        {
            Upload(_reference, plan.Problem.Reference, rows, vocabulary);
        }

        var launch = new RowLaunch(_stream, rows.Length, _group, vocabulary, units.Factor, units.Inner);
        ArrayView<byte> policy = _policy.View;
        ArrayView<byte> reference = reads ? _reference.View : policy;
        _scalars.Prepare(rows.Length, plan.Arithmetic == ElementType.Float64);
        if (!plan.IsBackward)
        {
            Program(ProgramKey.Of(plan, plan.Reads, plan.HasEntropy)).LaunchSums(launch, policy, reference, _scalars.Sums.View);
            _scalars.FetchSums();
            _stream.Synchronize();
        }

        _byHost.Clear();
        if (_entries.Length < plan.EntryCount)
        {
            _entries = new TopKEntry[plan.EntryCount];
        }

        for (int i = 0; i < rows.Length; i++)
        {
            long row = rows[i];
            ReadOnlySpan<TopKEntry> entries = TopKEntry.Read(plan, row, _entries);
            RowState state = plan.IsBackward ? plan.Outputs.State[row] : StateOf(plan, units, row, _scalars[i], entries);
            if (plan.IsSummary)
            {
                plan.Outputs.State[row] = state;
                continue;
            }

            TokenResult result = plan.ResultOf(row, state);
            if (!plan.IsBackward)
            {
                plan.Write(row, state, result);
            }

            if (plan.HasGradient)
            {
                GradientCoefficients gradient = result.Gradient(plan.ScaleOf(row), plan.LabelSlope(row));
                if (plan.HasLabel(row))
                {
                    _byHost.Add((row, plan.LabelOf(row), gradient.AtLabel));
                }

                foreach (TopKEntry entry in entries)
                {
                    if (entry.Column != plan.LabelOf(row))
                    {
                        _byHost.Add((row, entry.Column, entry.Gradient(result, gradient, plan.ScaleOf(row))));
                    }
                }

                _scalars.Set(i, units.GradientOf(state, gradient));
            }
        }

        if (plan.HasGradient)
        {
            ReferenceUse gradientUse = reads ? plan.GradientUse : ReferenceUse.None;
            _scalars.SubmitGradients();
            Program(ProgramKey.Of(plan, gradientUse, entropy: false)).LaunchGradient(
                launch, policy, gradientUse == ReferenceUse.None ? policy : reference, _scalars.Gradients.View);
            RowPacking.Read(_policy, plan.Gradient.Logits, rows, vocabulary);
            _stream.Synchronize();
            foreach ((long row, long column, double value) in _byHost)
            {
                ScalarElement.Write(plan.Gradient.Logits.Row(row), plan.Gradient.Logits.Type, column, value);
            }
        }
    }

    private static RowState StateOf(
        in RowPlan plan, in RowUnits units, long row, in DeviceRowState<double> sums, ReadOnlySpan<TopKEntry> entries)
    {
        RowState state = plan.WithLabelReference(row, units.StateOf(row, sums));
        return !plan.IsTopK ? state : TopKEntry.Add(plan, row, state with { TailSum = units.TailSum(row, state, entries) }, entries);
    }

    /// <summary>A row that counts for nothing: no logit is read, its outputs are 0, and so is its gradient.</summary>
    private static void Ignore(in RowPlan plan, long row)
    {
        if (!plan.IsBackward)
        {
            plan.Outputs.WriteUncounted(plan.Arithmetic, row);
        }

        if (plan.HasGradient)
        {
            NativeMemory.Clear(
                plan.Gradient.Logits.Row(row), (nuint)(plan.Problem.Vocabulary * plan.Gradient.Logits.Type.SizeInBytes()));
        }
    }

    private static void Upload(DeviceMemory memory, in LogitMatrix matrix, ReadOnlySpan<long> rows, long vocabulary)
    {
        memory.Reserve(rows.Length * vocabulary * matrix.Type.SizeInBytes());
        RowPacking.Write(memory, matrix, rows, vocabulary);
    }

    private RowProgram Program(ProgramKey key)
    {
        if (!_programs.TryGetValue(key, out RowProgram? program))
        {
            program = _create(key);
            _programs.Add(key, program);
        }

        return program;
    }
}
