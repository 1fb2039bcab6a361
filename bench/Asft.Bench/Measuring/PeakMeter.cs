using System.Runtime.InteropServices;
using Asft.Interop;

namespace Asft.Bench.Measuring;

/// <summary>
/// The most memory that becomes resident between <see cref="Start"/> and <see cref="Stop"/>, beginning with nothing kept of what was used before. On Linux the kernel's own high-water mark,
/// reset first, so that nothing is missed and nothing disturbed; elsewhere the largest of samples taken every half millisecond.
/// </summary>
public sealed class PeakMeter
{
    private readonly long _before;
    private readonly Sampler? _sampler;

    private PeakMeter()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        AsftRuntime.EmptyMemoryCache();
        NativeHeap.Trim();
        _before = ResidentMemory.Now;
        if (OperatingSystem.IsLinux())
        {
            ResidentMemory.ResetHighest();
        }
        else
        {
            _sampler = new Sampler(_before);
        }
    }

    /// <summary>Begins to watch.</summary>
    public static PeakMeter Start() => new();

    /// <summary>Ends it.</summary>
    /// <returns>Bytes beyond what was resident at the start.</returns>
    public long Stop() => Math.Max(0, (_sampler?.Stop() ?? ResidentMemory.Highest) - _before);

    private sealed class Sampler
    {
        private readonly Thread _thread;
        private long _highest;
        private bool _done;

        public Sampler(long before)
        {
            _highest = before;
            _thread = new Thread(Watch);
            _thread.Start();
        }

        public long Stop()
        {
            Volatile.Write(ref _done, true);
            _thread.Join();
            return _highest;
        }

        private void Watch()
        {
            while (!Volatile.Read(ref _done))
            {
                _highest = Math.Max(_highest, ResidentMemory.Now);
                Thread.Sleep(TimeSpan.FromMilliseconds(0.5));
            }
        }
    }
}

/// <summary>
/// The C library's heap. Memory that was freed but not given back to the system would be reused without being counted: before a measurement, it is
/// given back.
/// </summary>
internal static partial class NativeHeap
{
    /// <summary>Gives free memory back, where the C library can.</summary>
    public static void Trim()
    {
        try
        {
            _ = MallocTrim(0);
        }
        catch (Exception error) when (error is DllNotFoundException or EntryPointNotFoundException)
        {
            // another C library, which keeps less
        }
    }

    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int MallocTrim(nuint keep);
}
