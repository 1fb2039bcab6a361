using ILGPU.Runtime;

namespace Asft.Kernels.Portable;

/// <summary>
/// The loss on any device that ILGPU drives, from and to host memory: rows travel to the device in chunks, which are as large as
/// its memory may be used, and their gradients travel back. Only rows that count travel.
/// </summary>
/// <remarks>
/// The device memory and the compiled programs are kept between calls, and given back by <see cref="Dispose"/>. Calls from
/// several threads take turns.
/// </remarks>
public sealed class PortableTokenLossKernel : HostTokenLossKernel, IDisposable
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
    /// <param name="device">One of <see cref="PortableDevice.All"/>.</param>
    /// <param name="chunkBytes">
    /// Device memory for logits, in bytes, above 0; a single row may take more. The default is 128 MiB, or a quarter of the
    /// device's memory if that is less; above 1 GiB nothing is gained, and no more is taken. Results do not depend on it.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="chunkBytes"/> is not above 0.</exception>
    public PortableTokenLossKernel(PortableDevice device, long? chunkBytes = null)
    {
        ArgumentNullException.ThrowIfNull(device);
        if (chunkBytes <= 0)
        {
            throw OutOfRange.Of(nameof(chunkBytes), chunkBytes, "above 0");
        }

        Name = $"ILGPU: {device}";
        _accelerator = device.Open();
        _chunkBytes = Math.Min(chunkBytes ?? Math.Clamp(_accelerator.MemorySize / 4, 1, DefaultChunkBytes), LargestChunkBytes);
        _chunk = new RowChunk(_accelerator);
    }

    /// <inheritdoc/>
    public override string Name { get; }

    /// <inheritdoc/>
    public override void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient) =>
        Run(problem, outputs, gradient, backward: false);

    /// <inheritdoc/>
    public override void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient) =>
        Run(problem, saved, gradient, backward: true);

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

    private void Run(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient, bool backward)
    {
        if (backward)
        {
            KernelArguments.CheckHostBackward(problem, outputs, gradient);
        }
        else
        {
            KernelArguments.CheckForward(problem, gradient);
        }

        TokenLabels.Check(problem);
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (problem.Rows == 0)
            {
                return;
            }

            _accelerator.Bind();
            var run = new RowRun(problem, outputs, gradient, backward);
            int capacity = run.RowsWithin(_chunkBytes);
            long next = 0;
            while (next < problem.Rows)
            {
                next = _chunk.Take(run, next, capacity);
            }
        }
    }
}
