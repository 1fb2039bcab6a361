using System.Security.Cryptography;
using System.Text;

namespace Asft.KernelCompiler;

/// <summary>A folder of CUDA C++.</summary>
/// <param name="folder">The folder.</param>
internal sealed class KernelSources(string folder)
{
    /// <summary>How the line begins that says which sources PTX was made from. The tests read it too.</summary>
    public const string HashPrefix = "// Sources: sha256 ";

    /// <summary>The folder.</summary>
    public string Folder { get; } = folder;

    /// <summary>The files that are compiled, in order of their names.</summary>
    public IReadOnlyList<string> Files { get; } =
        [.. Directory.EnumerateFiles(folder, "*.cu").Order(StringComparer.Ordinal)];

    /// <summary>The first line of the PTX of a file.</summary>
    /// <param name="file">The file.</param>
    /// <returns>The line, without its end.</returns>
    public string HashLine(string file) => HashPrefix + Hash(file);

    /// <summary>SHA-256 of a file and of all headers, each with its name before it, whatever the ends of their lines.</summary>
    private string Hash(string file)
    {
        IEnumerable<string> headers = Directory.EnumerateFiles(Folder, "*.cuh").Order(StringComparer.Ordinal);
        var text = new StringBuilder();
        foreach (string source in headers.Prepend(file))
        {
            text.Append(Path.GetFileName(source)).Append('\n');
            text.Append(File.ReadAllText(source).ReplaceLineEndings("\n"));
        }

        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
    }
}
