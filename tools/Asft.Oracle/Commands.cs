using System.Text.Json;

namespace Asft.Oracle;

/// <summary>What the program does.</summary>
internal static class Commands
{
    /// <summary>Computes every case of a folder anew.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="check">Whether to compare with what is there, instead of writing it.</param>
    /// <returns>The exit code: 1 where a file differs from its results, or has none.</returns>
    public static int Run(DirectoryInfo folder, bool check)
    {
        FileInfo[] files = folder.Exists ? [.. folder.EnumerateFiles("*.json").OrderBy(file => file.Name, StringComparer.Ordinal)] : [];
        if (files.Length == 0)
        {
            Console.Error.WriteLine($"There is no *.json in {folder}.");
            return 1;
        }

        int wrong = 0;
        foreach (FileInfo file in files)
        {
            try
            {
                wrong += Recompute(file.FullName, check) ? 0 : 1;
            }
            catch (Exception error) when (error is OracleException or JsonException or InvalidOperationException or ArgumentException)
            {
                Console.Error.WriteLine($"{file.Name}: {error.Message}");
                wrong++;
            }
        }

        Console.WriteLine(wrong == 0
            ? $"{files.Length} cases: every number is the oracle's."
            : $"{wrong} of {files.Length} cases are not what the oracle says.");
        return wrong == 0 ? 0 : 1;
    }

    private static bool Recompute(string file, bool check)
    {
        string text = File.ReadAllText(file);
        string right = CaseFile.Recompute(text);
        if (!check)
        {
            File.WriteAllText(file, right);
            return true;
        }

        if (text == right)
        {
            return true;
        }

        int place = text.Zip(right).TakeWhile(pair => pair.First == pair.Second).Count();
        Console.Error.WriteLine($"{Path.GetFileName(file)}: at character {place} it has {Around(text, place)}, and should have {Around(right, place)}");
        return false;
    }

    /// <summary>What stands at a place, for a message: from the comma before it on.</summary>
    private static string Around(string text, int place)
    {
        int start = Math.Max(0, text.LastIndexOf(',', Math.Min(place, text.Length - 1)));
        return text.Substring(start, Math.Min(60, text.Length - start));
    }
}
