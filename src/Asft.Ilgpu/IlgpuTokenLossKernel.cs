using ILGPU.Runtime;

namespace Asft.Kernels.Ilgpu;

/// <summary>
/// The loss on any device that ILGPU drives, from and to host memory: rows travel to the device in chunks, which are as large as
/// its memory may be used, and their gradients travel back. Only rows that count travel.
/// </summary>
/// <remarks>
/// The device memory and the compiled programs are kept between calls, and given back by <see cref="Dispose"/>. Calls from
/// several threads take turns.
/// </remarks>
public sealed class IlgpuTokenLossKernel : HostTokenLossKernel, IDisposable
{
    /// <summary>Large enough to hide what a launch costs, small enough for any device and for one OpenCL buffer.</summary>
    private const long DefaultChunkBytes = 128L << 20;

    /// <summary>Page-locked memory is counted in 32 bits.</summary>
    private const long LargestChunkBytes = 1L << 30;

    private readonly Lock _lock = new();
    private readonly Accelerator _accelerator;
    private readonly RowChunk _chunk;
    private readonly long _chunkBytes;
    private bool _disposed;

    /// <summary>Opens a device.</summary>
    /// <param name="device">One of <see cref="IlgpuDevice.All"/>.</param>
    /// <param name="chunkBytes">
    /// Device memory for logits, in bytes, above 0; a single row may take more. The default is 128 MiB, or a quarter of the
    /// device's memory if that is less; above 1 GiB nothing is gained, and no more is taken. Results do not depend on it.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="chunkBytes"/> is not above 0.</exception>
    public IlgpuTokenLossKernel(IlgpuDevice device, long? chunkBytes = null)
        : this(device, chunkBytes, RowProgram.Create)
    {
    }

    /// <summary>The same with other programs than ILGPU's launchers start.</summary>
    internal IlgpuTokenLossKernel(IlgpuDevice device, long? chunkBytes, Func<Accelerator, ProgramKey, RowProgram> create)
    {
        ArgumentNullException.ThrowIfNull(device);
        if (chunkBytes <= 0)
        {
            throw OutOfRange.Of(nameof(chunkBytes), chunkBytes, "above 0");
        }

        Name = $"ILGPU: {device}";
        _accelerator = device.Open();
        _chunkBytes = Math.Min(chunkBytes ?? Math.Clamp(_accelerator.MemorySize / 4, 1, DefaultChunkBytes), LargestChunkBytes);
        _chunk = new RowChunk(_accelerator, key => create(_accelerator, key));
    }

    /// <inheritdoc/>
    public override string Name { get; }

    /// <inheritdoc/>
    public override void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient) =>
        Run(RowPlan.Forward(problem, outputs, gradient));

    /// <inheritdoc/>
    public override unsafe void Summarize(in TokenProblem problem, RowState* states, in TokenGradient gradient = default) =>
        Run(RowPlan.Summarize(problem, states));

    /// <inheritdoc/>
    public override unsafe void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient)
    {
        var plan = RowPlan.Backward(problem, saved, gradient);
        plan.CheckSaved(saved.State, nameof(saved.State));
        Run(plan);
    }

    /// <summary>Frees the device's memory and closes the device.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (!_disposed)
            {
                _disposed = true;
                _chunk.Dispose();
                _accelerator.Dispose();
            }
        }
    }

    private void Run(in RowPlan plan)
    {
        TokenLabels.Check(plan);
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (plan.Problem.Rows == 0)
            {
                return;
            }

            _accelerator.Bind();
            var units = new RowUnits(plan);
            int capacity = RowsWithin(_chunkBytes, plan);
            long next = 0;
            while (next < plan.Problem.Rows)
            {
                next = _chunk.Take(plan, units, next, capacity);
            }
        }
    }

    /// <summary>How many rows' logits fit into so much memory; at least one.</summary>
    private static int RowsWithin(long bytes, in RowPlan plan)
    {
        TokenProblem problem = plan.Problem;
        int logit = problem.Logits.Type.SizeInBytes() + (plan.Reads == ReferenceUse.None ? 0 : problem.Reference.Type.SizeInBytes());
        return (int)Math.Clamp(bytes / (problem.Vocabulary * logit), 1, Math.Clamp(problem.Rows, 1, int.MaxValue));
    }
}
