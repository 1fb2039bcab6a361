using System.Diagnostics;
using System.Globalization;

namespace Asft.Bench.Measuring;

/// <summary>Memory that the process really occupies, native and managed together, as the system counts it.</summary>
public static class ResidentMemory
{
    /// <summary>Bytes resident now.</summary>
    public static long Now => OperatingSystem.IsLinux() ? Status("VmRSS:") : Process.GetCurrentProcess().WorkingSet64;

    /// <summary>The most that was resident since <see cref="ResetHighest"/>. Linux only.</summary>
    public static long Highest => Status("VmHWM:");

    /// <summary>The most that is resident during <paramref name="action"/> beyond what was before it.</summary>
    public static long PeakDuring(Action action)
    {
        PeakMeter meter = PeakMeter.Start();
        action();
        return meter.Stop();
    }

    /// <summary>Begins <see cref="Highest"/> anew. Linux only.</summary>
    public static void ResetHighest() => File.WriteAllText("/proc/self/clear_refs", "5");

    private static long Status(string field)
    {
        string line = File.ReadLines("/proc/self/status").First(l => l.StartsWith(field, StringComparison.Ordinal));
        return long.Parse(line.AsSpan(field.Length).Trim().TrimEnd("kB").Trim(), CultureInfo.InvariantCulture) * 1024;
    }
}
