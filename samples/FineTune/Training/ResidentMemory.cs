using System.Runtime.InteropServices;

namespace FineTune.Training;

/// <summary>Physical memory held by this process, native tensors included, which the .NET heap's own counters do not see.</summary>
internal static class ResidentMemory
{
    /// <summary>
    /// How many bytes the process's resident memory rises above its present state while <paramref name="work"/> runs, at
    /// its highest, looking every millisecond.
    /// </summary>
    public static long Rise(Action work)
    {
        ReturnFreedMemory();
        long before = Environment.WorkingSet;
        long highest = before;
        using var done = new ManualResetEventSlim();
        var watcher = new Thread(() =>
        {
            do
            {
                highest = Math.Max(highest, Environment.WorkingSet);
            }
            while (!done.Wait(millisecondsTimeout: 1));
        });
        watcher.Start();
        try
        {
            work();
        }
        finally
        {
            done.Set();
            watcher.Join();
        }

        return highest - before;
    }

    /// <summary>
    /// The GNU allocator keeps freed memory, so that a step could live on what earlier ones left and would seem to need none.
    /// Other systems' allocators give large blocks back at once.
    /// </summary>
    private static void ReturnFreedMemory()
    {
        if (OperatingSystem.IsLinux() && NativeLibrary.TryLoad("libc.so.6", out nint library))
        {
            if (NativeLibrary.TryGetExport(library, "malloc_trim", out nint trim))
            {
                Marshal.GetDelegateForFunctionPointer<MallocTrim>(trim)(0);
            }

            NativeLibrary.Free(library);
        }
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate int MallocTrim(nuint pad);
}
