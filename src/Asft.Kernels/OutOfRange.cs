using System.Globalization;

namespace Asft.Kernels;

/// <summary>The exception for an argument whose value will not do.</summary>
internal static class OutOfRange
{
    /// <summary>
    /// An exception whose message ends with the value. It is not given as <see cref="ArgumentOutOfRangeException.ActualValue"/>,
    /// which the framework adds to the message in the culture of whoever reads it: "Actual value was -0,05".
    /// </summary>
    /// <param name="name">The argument's name.</param>
    /// <param name="value">Its value.</param>
    /// <param name="requirement">What it must be: the message is "name must be requirement; got value."</param>
    public static ArgumentOutOfRangeException Of<T>(string name, T value, string requirement) =>
        new(name, Invariant($"{name} must be {requirement}; got {(value is Enum member ? Text(member) : value)}."));

    /// <summary>An enum's value that has no name would be written in the reader's culture, too.</summary>
    private static string Text(Enum value) => Enum.IsDefined(value.GetType(), value)
        ? value.ToString()
        : Convert.ToInt64(value, CultureInfo.InvariantCulture).ToString(CultureInfo.InvariantCulture);
}
