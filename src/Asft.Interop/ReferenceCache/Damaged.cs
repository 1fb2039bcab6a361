namespace Asft.Interop;

/// <summary>The one exception for a file that does not hold what it must: it names the file and the reason.</summary>
internal static class Damaged
{
    /// <summary>The exception.</summary>
    /// <param name="path">The file.</param>
    /// <param name="reason">What is wrong with it; its numbers are written the same way in every culture.</param>
    /// <param name="cause">What brought it to light, if that was an exception.</param>
    public static InvalidDataException File(string path, FormattableString reason, Exception? cause = null) =>
        new($"'{path}' is damaged: {Invariant(reason)}.", cause);
}
