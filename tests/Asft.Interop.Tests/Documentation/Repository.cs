namespace Asft.Interop.Tests.Documentation;

/// <summary>The source tree that the tests were built from.</summary>
internal static class Repository
{
    private static readonly string[] s_folders = ["src", "kernels", "tests", "bench", "samples", "tools", "docs", "scripts"];

    /// <summary>The folder with the solution.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>Every text file that people write, by its path from the root with '/' between folders.</summary>
    public static IEnumerable<string> Files(params string[] extensions) => s_folders
        .SelectMany(folder => Directory.EnumerateFiles(Path.Combine(Root, folder), "*", SearchOption.AllDirectories))
        .Concat(Directory.EnumerateFiles(Root))
        .Where(file => extensions.Contains(Path.GetExtension(file)))
        .Select(file => Path.GetRelativePath(Root, file).Replace(Path.DirectorySeparatorChar, '/'))
        .Where(file => !file.Split('/').Any(part => part is "bin" or "obj"))
        .Order(StringComparer.Ordinal);

    /// <summary>The text of one.</summary>
    public static string Read(string file) => File.ReadAllText(Path.Combine(Root, file));

    private static string FindRoot()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Asft.sln")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName ?? throw new DirectoryNotFoundException($"No folder above {AppContext.BaseDirectory} has Asft.sln.");
    }
}
