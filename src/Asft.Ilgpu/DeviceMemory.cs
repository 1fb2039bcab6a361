using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.OpenCL;

namespace Asft.Kernels.Ilgpu;

/// <summary>
/// A stretch of device memory that grows as needed and is kept between calls, and the way to and from it. Used in rounds: any
/// number of <see cref="Write"/>, <see cref="Submit"/>, launches, <see cref="Fetch"/>, any number of <see cref="Read"/>. What was
/// read is there when the stream has been waited for.
/// </summary>
internal abstract unsafe class DeviceMemory : IDisposable
{
    protected DeviceMemory(Accelerator accelerator, AcceleratorStream stream)
    {
        Accelerator = accelerator;
        Stream = stream;
    }

    /// <summary>All of it.</summary>
    public ArrayView<byte> View { get; private set; }

    protected Accelerator Accelerator { get; }

    protected AcceleratorStream Stream { get; }

    protected MemoryBuffer1D<byte, Stride1D.Dense>? Buffer { get; private set; }

    public static DeviceMemory Create(Accelerator accelerator, AcceleratorStream stream) => accelerator is CLAccelerator
        ? new OpenClMemory(accelerator, stream)
        : new StagedMemory(accelerator, stream);

    /// <summary>Makes sure that there are so many bytes. What was in it is lost if there were not.</summary>
    public void Reserve(long bytes)
    {
        if (bytes > View.Length)
        {
            Release();
            Allocate(bytes);
        }
    }

    /// <summary>Writes host memory, which must stay as it is until the stream has been waited for.</summary>
    public abstract void Write(long offset, void* source, long bytes);

    /// <summary>Ends the writes, of so many bytes from the start.</summary>
    public abstract void Submit(long bytes);

    /// <summary>Begins the reads, of so many bytes from the start, once all launches so far are done.</summary>
    public abstract void Fetch(long bytes);

    /// <summary>Reads into host memory.</summary>
    public abstract void Read(long offset, void* target, long bytes);

    public void Dispose() => Release();

    protected virtual void Allocate(long bytes)
    {
        Buffer = Accelerator.Allocate1D<byte>(bytes);
        View = Buffer.View;
    }

    protected virtual void Release()
    {
        View = ArrayView<byte>.Empty;
        Buffer?.Dispose();
        Buffer = null;
    }
}

/// <summary>
/// Goes through page-locked host memory, from which a GPU copies at the full speed of the bus, and whose one large copy replaces
/// many small ones.
/// </summary>
internal sealed unsafe class StagedMemory(Accelerator accelerator, AcceleratorStream stream) : DeviceMemory(accelerator, stream)
{
    private PageLockedArray1D<byte>? _host;
    private byte* _start;

    public override void Write(long offset, void* source, long bytes) =>
        System.Buffer.MemoryCopy(source, _start + offset, _host!.Length - offset, bytes);

    public override void Submit(long bytes) => View.SubView(0, bytes).CopyFrom(Stream, _host!.ArrayView.SubView(0, bytes));

    public override void Fetch(long bytes)
    {
        View.SubView(0, bytes).CopyTo(Stream, _host!.ArrayView.SubView(0, bytes));
        Stream.Synchronize();
    }

    public override void Read(long offset, void* target, long bytes) => System.Buffer.MemoryCopy(_start + offset, target, bytes, bytes);

    protected override void Allocate(long bytes)
    {
        base.Allocate(bytes);
        _host = Accelerator.AllocatePageLocked1D<byte>(bytes, uninitialized: true);
        _start = (byte*)_host.ArrayView.LoadEffectiveAddressAsPtr();
    }

    protected override void Release()
    {
        _host?.Dispose();
        _host = null;
        _start = null;
        base.Release();
    }
}

/// <summary>
/// Hands the caller's own memory to OpenCL, which knows best how its device reaches it. (ILGPU's copies would not do: of a part
/// of a buffer they copy as many bytes as the whole buffer has.)
/// </summary>
internal sealed unsafe class OpenClMemory(Accelerator accelerator, AcceleratorStream stream) : DeviceMemory(accelerator, stream)
{
    public override void Write(long offset, void* source, long bytes) => CLException.ThrowIfFailed(
        CLAPI.CurrentAPI.WriteBuffer(Stream, Buffer!.NativePtr, false, (nint)offset, (nint)bytes, (nint)source));

    public override void Submit(long bytes)
    {
    }

    public override void Fetch(long bytes)
    {
    }

    public override void Read(long offset, void* target, long bytes) => CLException.ThrowIfFailed(
        CLAPI.CurrentAPI.ReadBuffer(Stream, Buffer!.NativePtr, false, (nint)offset, (nint)bytes, (nint)target));
}
