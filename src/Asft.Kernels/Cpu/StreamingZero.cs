using System.Runtime.Intrinsics;

namespace Asft.Kernels.Cpu;

/// <summary>
/// Zeroes memory past the caches: an ignored row's gradient is written once and not read soon, and an ordinary store would first
/// read each line from memory.
/// </summary>
internal static unsafe class StreamingZero
{
    public static void Fill(void* destination, long bytes)
    {
        byte* p = (byte*)destination;
        long head = Math.Min(bytes, -(nint)p & 63);
        new Span<byte>(p, (int)head).Clear();
        p += head;
        bytes -= head;
        for (; bytes >= 64; bytes -= 64, p += 64)
        {
            Vector256<byte>.Zero.StoreAlignedNonTemporal(p);
            Vector256<byte>.Zero.StoreAlignedNonTemporal(p + 32);
        }

        new Span<byte>(p, (int)bytes).Clear();
    }
}
