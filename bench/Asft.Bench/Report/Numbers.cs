using System.Globalization;

namespace Asft.Bench.Report;

/// <summary>Numbers as the report writes them: three digits, never more.</summary>
internal static class Numbers
{
    /// <summary>Three significant digits; whole numbers from 100 on, with separators.</summary>
    public static string Three(double value) => Math.Abs(value) switch
    {
        0 => "0",
        < 0.001 => value.ToString("0.0e-0", CultureInfo.InvariantCulture),
        < 1 => value.ToString("0.000", CultureInfo.InvariantCulture),
        < 9.995 => value.ToString("0.00", CultureInfo.InvariantCulture),
        < 99.95 => value.ToString("0.0", CultureInfo.InvariantCulture),
        _ => value.ToString("#,0", CultureInfo.InvariantCulture),
    };

    /// <summary>Two digits, for labels in plots.</summary>
    public static string Two(double value) => value switch
    {
        < 0.995 => value.ToString("0.00", CultureInfo.InvariantCulture),
        < 9.95 => value.ToString("0.0", CultureInfo.InvariantCulture),
        _ => Whole(value),
    };

    /// <summary>A whole number with separators.</summary>
    public static string Whole(double value) => value.ToString("#,0", CultureInfo.InvariantCulture);

    /// <summary>Seconds as milliseconds.</summary>
    public static string Milliseconds(double? seconds) => seconds is { } s ? Three(s * 1e3) : "-";

    /// <summary>How many times.</summary>
    public static string Times(double? ratio) => ratio is { } r ? Three(r) + " x" : "-";

    /// <summary>Bytes as megabytes, of 10^6 bytes.</summary>
    public static string Megabytes(double? bytes) => bytes switch
    {
        null => "-",
        < 1e5 => "< 0.1",
        { } b => Three(b / 1e6),
    };
}
