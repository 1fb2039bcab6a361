using System.Diagnostics;
using System.Globalization;

namespace Asft.Bench.Measuring;

/// <summary>Memory that the process really occupies, native and managed together, as the system counts it.</summary>
public static class ResidentMemory
{
    /// <summary>Bytes resident now.</summary>
    public static long Now => OperatingSystem.IsLinux() ? Status("VmRSS:") : Process.GetCurrentProcess().WorkingSet64;

    /// <summary>
    /// The most that was resident during <paramref name="action"/> beyond what was before it. On Linux the kernel's own high-water mark,
    /// reset first; elsewhere the largest of samples taken every half millisecond.
    /// </summary>
    public static long PeakDuring(Action action)
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = Now;
        if (OperatingSystem.IsLinux())
        {
            File.WriteAllText("/proc/self/clear_refs", "5");
            action();
            return Math.Max(0, Status("VmHWM:") - before);
        }

        long peak = before;
        bool done = false;
        var sampler = new Thread(() =>
        {
            while (!Volatile.Read(ref done))
            {
                peak = Math.Max(peak, Now);
                Thread.Sleep(TimeSpan.FromMilliseconds(0.5));
            }
        });
        sampler.Start();
        action();
        Volatile.Write(ref done, true);
        sampler.Join();
        return peak - before;
    }

    private static long Status(string field)
    {
        string line = File.ReadLines("/proc/self/status").First(l => l.StartsWith(field, StringComparison.Ordinal));
        return long.Parse(line.AsSpan(field.Length).Trim().TrimEnd("kB").Trim(), CultureInfo.InvariantCulture) * 1024;
    }
}
