using System.Runtime.InteropServices;

namespace Asft.Bench.Measuring;

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
