using System.Runtime.InteropServices;

namespace Asft.PtxVm.Driver;

/// <summary>Memory of the device and of the host, and copies.</summary>
internal static unsafe partial class LibCuda
{
    /// <summary>What is in page-locked memory before anybody writes.</summary>
    private const byte Rubbish = 0xAA;

    [UnmanagedCallersOnly(EntryPoint = "cuMemGetInfo_v2")]
    private static int MemGetInfo(nuint* available, nuint* total) => Call(() =>
    {
        *total = (nuint)Current.Device.Properties.MemoryBytes;
        *available = *total - (nuint)Current.Machine.Memory.AllocatedBytes;
    });

    [UnmanagedCallersOnly(EntryPoint = "cuMemAlloc_v2")]
    private static int MemAlloc(void** memory, nuint bytes) => Call(() => *memory = Current.Machine.Allocate(Current.Ordinal, (long)bytes));

    /// <summary>The host writes to it whenever it likes, so nothing counts as not written.</summary>
    [UnmanagedCallersOnly(EntryPoint = "cuMemAllocManaged")]
    private static int MemAllocManaged(void** memory, nuint bytes, uint flags) => Call(() =>
    {
        Require(flags is 1 or 2, "CUDA_ERROR_INVALID_VALUE", $"flags {flags}, neither CU_MEM_ATTACH_GLOBAL nor CU_MEM_ATTACH_HOST");
        *memory = Current.Machine.Memory.Allocate((long)bytes, $"managed memory of {bytes} bytes", contents: []);
    });

    [UnmanagedCallersOnly(EntryPoint = "cuMemFree_v2")]
    private static int MemFree(void* memory) => Call(() => Current.Machine.Free(Current.Ordinal, memory));

    [UnmanagedCallersOnly(EntryPoint = "cuMemHostAlloc")]
    private static int MemHostAlloc(void** memory, nuint bytes, uint flags) => Call(() => *memory = PageLocked(bytes));

    [UnmanagedCallersOnly(EntryPoint = "cuMemAllocHost_v2")]
    private static int MemAllocHost(void** memory, nuint bytes) => Call(() => *memory = PageLocked(bytes));

    [UnmanagedCallersOnly(EntryPoint = "cuMemFreeHost")]
    private static int MemFreeHost(void* memory) => Call(() => Current.Machine.FreeHost(Current.Ordinal, memory));

    /// <summary>Kernels reach page-locked memory at the address that it has.</summary>
    [UnmanagedCallersOnly(EntryPoint = "cuMemHostGetDevicePointer_v2")]
    private static int MemHostGetDevicePointer(void** address, void* memory, uint flags) => Call(() =>
    {
        Current.Machine.Memory.Require(memory, 1, "cuMemHostGetDevicePointer");
        *address = memory;
    });

    [UnmanagedCallersOnly(EntryPoint = "cuMemsetD8Async")]
    private static int MemsetD8Async(void* memory, byte value, nuint bytes, nint stream) => Call(() =>
        Current.Machine.Fill(Current.Ordinal, memory, value, (long)bytes, CheckStream(stream)));

    /// <summary>Which of the two is the device's memory, the addresses tell; what is neither's is the host's.</summary>
    [UnmanagedCallersOnly(EntryPoint = "cuMemcpyAsync")]
    private static int MemcpyAsync(void* to, void* from, nuint bytes, nint stream) => Call(() =>
    {
        CheckStream(stream);
        Current.Machine.Memory.Copy(to, from, (long)bytes);
    });

    [UnmanagedCallersOnly(EntryPoint = "cuMemcpyHtoD_v2")]
    private static int MemcpyHtoD(void* to, void* from, nuint bytes) => Call(() =>
    {
        Current.Machine.Memory.Require(to, (long)bytes, "cuMemcpyHtoD");
        Current.Machine.Memory.Copy(to, from, (long)bytes);
    });

    [UnmanagedCallersOnly(EntryPoint = "cuMemcpyDtoHAsync_v2")]
    private static int MemcpyDtoHAsync(void* to, void* from, nuint bytes, nint stream) => Call(() =>
        Current.Machine.CopyToHost(Current.Ordinal, to, from, (long)bytes, CheckStream(stream)));

    [UnmanagedCallersOnly(EntryPoint = "cuMemcpyDtoDAsync_v2")]
    private static int MemcpyDtoDAsync(void* to, void* from, nuint bytes, nint stream) => Call(() =>
    {
        CheckStream(stream);
        Current.Machine.Memory.Require(to, (long)bytes, "cuMemcpyDtoD");
        Current.Machine.Memory.Require(from, (long)bytes, "cuMemcpyDtoD");
        Current.Machine.Memory.Copy(to, from, (long)bytes);
    });

    private static void* PageLocked(nuint bytes)
    {
        var memory = Current.Machine.AllocateHost(Current.Ordinal, (long)bytes);
        NativeMemory.Fill(memory, bytes, Rubbish);
        return memory;
    }
}
