using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Asft.Oracle;

/// <summary>JSON as Python's <c>json.dumps</c> writes it, which the golden files were first written with: on one line, numbers as short as they can be.</summary>
internal static class PythonJson
{
    /// <summary>The text of a value. Numbers that were read keep the text they had.</summary>
    public static string Write(JsonNode? json) => json switch
    {
        null => "null",
        JsonObject members => "{" + string.Join(", ", members.Select(member => $"\"{member.Key}\": {Write(member.Value)}")) + "}",
        JsonArray items => "[" + string.Join(", ", items.Select(Write)) + "]",
        JsonValue value when value.GetValueKind() == JsonValueKind.Number && !value.TryGetValue(out JsonElement _) => Number((double)value),
        _ => json.ToJsonString(),
    };

    /// <summary>The shortest digits that give the number back; an exponent from 1e16 on and below 1e-4.</summary>
    public static string Number(double value)
    {
        if (value == 0)
        {
            return double.IsNegative(value) ? "-0.0" : "0.0";
        }

        string sign = value < 0 ? "-" : string.Empty;
        string[] parts = Math.Abs(value).ToString("E16", CultureInfo.InvariantCulture).Split('E');
        int exponent = int.Parse(parts[1], CultureInfo.InvariantCulture);
        string digits = Digits(Math.Abs(value));
        if (exponent is < -4 or >= 16)
        {
            string fraction = digits.Length > 1 ? "." + digits[1..] : string.Empty;
            return $"{sign}{digits[0]}{fraction}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent).ToString("00", CultureInfo.InvariantCulture)}";
        }

        if (exponent < 0)
        {
            return $"{sign}0.{new string('0', -exponent - 1)}{digits}";
        }

        string padded = digits.PadRight(exponent + 2, '0');
        return $"{sign}{padded[..(exponent + 1)]}.{padded[(exponent + 1)..]}";
    }

    /// <summary>The significant digits of the shortest text of a number.</summary>
    private static string Digits(double value) =>
        value.ToString("R", CultureInfo.InvariantCulture).Split('E')[0].Replace(".", string.Empty, StringComparison.Ordinal).Trim('0');
}
