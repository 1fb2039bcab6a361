namespace Asft.Interop;

/// <summary>A number that ranks compare in place of many.</summary>
internal static class Checksum
{
    /// <summary>FNV-1a, a number at a time.</summary>
    public static long Of(ReadOnlySpan<long> values)
    {
        ulong hash = 14695981039346656037;
        foreach (long value in values)
        {
            hash = (hash ^ (ulong)value) * 1099511628211;
        }

        return (long)hash;
    }
}
