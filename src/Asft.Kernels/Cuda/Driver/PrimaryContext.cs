namespace Asft.Kernels.Cuda.Driver;

/// <summary>
/// The primary context of a device: the one that the CUDA runtime, and so torch, uses. Retained at the first use, once for the
/// life of the process.
/// </summary>
internal sealed unsafe class PrimaryContext
{
    private readonly CudaApi _api;
    private readonly Once<nint> _handle;

    /// <summary>Prepares to retain the context.</summary>
    /// <param name="api">The driver.</param>
    /// <param name="ordinal">Ordinal of the device.</param>
    /// <param name="handle">The driver's handle of the device.</param>
    public PrimaryContext(CudaApi api, int ordinal, int handle)
    {
        _api = api;
        _handle = new Once<nint>(() =>
        {
            nint context;
            CudaErrors.Check(api, api.DevicePrimaryCtxRetain(&context, handle), $"Retaining the primary context of cuda:{ordinal}");
            return context;
        });
        Ordinal = ordinal;
    }

    /// <summary>Ordinal of the device.</summary>
    public int Ordinal { get; }

    /// <summary>Makes the context the calling thread's current one, until the result is disposed.</summary>
    /// <exception cref="CudaException">The context cannot be had.</exception>
    public Scope Enter()
    {
        CudaErrors.Check(_api, _api.CtxPushCurrent(_handle.Value), $"Making the primary context of cuda:{Ordinal} current");
        return new Scope(_api);
    }

    /// <summary>While it lives, the context is current; afterwards, what was current before is so again.</summary>
    public readonly ref struct Scope(CudaApi api)
    {
        /// <summary>Pops the context. It fails only if there is none to pop, which nobody could do anything about.</summary>
        public void Dispose()
        {
            nint popped;
            _ = api.CtxPopCurrent(&popped);
        }
    }
}
