namespace Asft.Kernels.Cuda;

/// <summary>
/// Where kernels report a label out of range: page-locked memory of the host, which a kernel that meets one writes itself, and which costs
/// nothing as long as none does.
/// </summary>
internal sealed unsafe class FaultReport : IDisposable
{
    private readonly Lock _lock = new();
    private readonly ICudaDriver _driver;
    private readonly int _device;
    private readonly nint _stream;

    /// <summary>An empty report.</summary>
    /// <param name="driver">The driver.</param>
    /// <param name="device">Ordinal of the device.</param>
    /// <param name="stream">The stream that kernels run on.</param>
    public FaultReport(ICudaDriver driver, int device, nint stream)
    {
        _driver = driver;
        _device = device;
        _stream = stream;
        Word = (FaultWord*)driver.AllocateHost(device, sizeof(FaultWord));
    }

    /// <summary>The report, at the same address for the device and for the host.</summary>
    public FaultWord* Word { get; }

    /// <summary>Throws when there is a report, once for each.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A label was out of range.</exception>
    public void Throw()
    {
        if (!IsReported)
        {
            return;
        }

        FaultWord fault;
        lock (_lock)
        {
            if (!IsReported)
            {
                return; // another thread has thrown it
            }

            fault = *Word;
            _driver.Synchronize(_device, _stream); // a kernel that is still under way must not find the report empty again
            *Word = default;
        }

        throw new ArgumentOutOfRangeException(
            "labels",
            Invariant($"labels[{fault.Row}] is {fault.Label}, which is neither in [0, {fault.Vocabulary}) nor the ignore index. ")
            + "An earlier call on this device met it; its row became NaN.");
    }

    /// <inheritdoc/>
    public void Dispose() => _driver.FreeHost(_device, Word);

    private bool IsReported => Volatile.Read(ref Word->State) == KernelConstants.FaultReported;
}
