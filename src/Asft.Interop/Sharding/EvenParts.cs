namespace Asft.Interop;

/// <summary>A range in parts of one size, the first of them larger by one where it does not come out even.</summary>
internal static class EvenParts
{
    /// <summary>Where a part begins, and how long it is.</summary>
    public static (long First, long Count) Of(long total, int parts, int part)
    {
        long least = total / parts;
        long more = total % parts;
        return ((part * least) + Math.Min(part, more), least + (part < more ? 1 : 0));
    }
}
