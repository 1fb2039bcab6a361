namespace Asft.Kernels.Cuda;

/// <summary>
/// Where kernels report a label out of range, and how the host learns of it: each loss ends with a copy of the report to host memory,
/// which happens when the stream gets there, for the next look at what has arrived.
/// </summary>
internal sealed unsafe class FaultReport : IDisposable
{
    private readonly Lock _lock = new();
    private readonly ICudaDriver _driver;
    private readonly int _device;
    private readonly nint _stream;
    private readonly FaultWord* _arrived;

    /// <summary>An empty report.</summary>
    /// <param name="driver">The driver.</param>
    /// <param name="device">Ordinal of the device.</param>
    /// <param name="stream">The stream that kernels run on.</param>
    public FaultReport(ICudaDriver driver, int device, nint stream)
    {
        _driver = driver;
        _device = device;
        _stream = stream;
        Word = (FaultWord*)driver.Allocate(device, sizeof(FaultWord));
        try
        {
            _arrived = (FaultWord*)driver.AllocateHost(device, sizeof(FaultWord));
            driver.Fill(device, Word, 0, sizeof(FaultWord), stream);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The report in device memory.</summary>
    public FaultWord* Word { get; }

    /// <summary>Lets the report travel to the host, after what is on the stream by now.</summary>
    public void Send()
    {
        lock (_lock)
        {
            _driver.CopyToHost(_device, _arrived, Word, sizeof(FaultWord), _stream);
        }
    }

    /// <summary>Throws when a report has arrived, once for each.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A label was out of range.</exception>
    public void Throw()
    {
        if (Volatile.Read(ref _arrived->State) == 0)
        {
            return;
        }

        FaultWord fault;
        lock (_lock)
        {
            if (_arrived->State == 0)
            {
                return; // another thread has thrown it
            }

            // Copies that are still under way would bring the same report again.
            _driver.Synchronize(_device, _stream);
            fault = *_arrived;
            *_arrived = default;
            _driver.Fill(_device, Word, 0, sizeof(FaultWord), _stream);
        }

        throw new ArgumentOutOfRangeException(
            "labels",
            Invariant($"labels[{fault.Row}] is {fault.Label}, which is neither in [0, {fault.Vocabulary}) nor the ignore index. ")
            + "An earlier call on this device met it; its row became NaN.");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _driver.Free(_device, Word);
        if (_arrived != null)
        {
            _driver.FreeHost(_device, _arrived);
        }
    }
}
