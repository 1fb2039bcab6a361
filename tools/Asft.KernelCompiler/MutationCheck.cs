using System.Collections.Concurrent;
using System.Diagnostics;

namespace Asft.KernelCompiler;

/// <summary>A planted bug: a place in one file, and what stands there instead.</summary>
/// <param name="Name">What is wrong then.</param>
/// <param name="File">Name of the file.</param>
/// <param name="Find">The right code, which occurs once in the file.</param>
/// <param name="Replace">The wrong code.</param>
internal sealed record Mutant(string Name, string File, string Find, string Replace)
{
    /// <summary>
    /// Reads bugs: a line "== name | file", the right lines after a line "-", the wrong ones after a line "+". Lines that begin with #
    /// before the first bug are remarks.
    /// </summary>
    /// <param name="path">The file that lists them.</param>
    /// <returns>The bugs, in order.</returns>
    public static IReadOnlyList<Mutant> Read(string path)
    {
        var mutants = new List<Mutant>();
        foreach (string section in System.IO.File.ReadAllText(path).ReplaceLineEndings("\n").Split("\n== ").Skip(1))
        {
            string[] head = section[..section.IndexOf('\n', StringComparison.Ordinal)].Split('|', StringSplitOptions.TrimEntries);
            string[] body = section.Split("\n-\n")[1].Split("\n+\n");
            mutants.Add(new Mutant(head[0], head[1], body[0], body[1].TrimEnd('\n')));
        }

        return mutants;
    }

    /// <summary>Whether the right code occurs once, as it must.</summary>
    /// <param name="source">The folder of the sources.</param>
    /// <returns>True when it does.</returns>
    public bool Fits(string source)
    {
        string text = Text(Path.Combine(source, File));
        int at = text.IndexOf(Find, StringComparison.Ordinal);
        return at >= 0 && text.IndexOf(Find, at + 1, StringComparison.Ordinal) < 0;
    }

    /// <summary>Writes a folder's sources with the bug in them.</summary>
    /// <param name="source">The folder.</param>
    /// <param name="target">Where the copies go.</param>
    public void Plant(string source, string target)
    {
        foreach (string file in Directory.EnumerateFiles(source, "*.cu*"))
        {
            string name = Path.GetFileName(file);
            string text = Text(file);
            System.IO.File.WriteAllText(Path.Combine(target, name), name == File ? text.Replace(Find, Replace, StringComparison.Ordinal) : text);
        }
    }

    private static string Text(string file) => System.IO.File.ReadAllText(file).ReplaceLineEndings("\n");
}

/// <summary>
/// Plants bugs in the kernels, one at a time, and runs the tests of the kernels on the PTX that comes of it: a suite that lets one pass
/// has a hole.
/// </summary>
internal static class MutationCheck
{
    /// <summary>Name of the file among the kernels that lists the bugs.</summary>
    public const string FileName = "mutants.txt";

    private const string FirstModule = "float32";

    private const string Filter = "FullyQualifiedName~Asft.Kernels.Tests.Cuda.Kernel";

    /// <summary>Bugs looked for at once: the tests of one take a thread and 3 GB.</summary>
    private static readonly int s_workers = Math.Min(Environment.ProcessorCount, 4);

    /// <summary>Says for each bug whether the tests found it.</summary>
    /// <param name="sources">The kernels.</param>
    /// <param name="patches">The file that lists the bugs.</param>
    /// <param name="only">Parts of the names of the bugs to plant; none for all.</param>
    /// <param name="tests">What dotnet runs: the tests, already built.</param>
    /// <exception cref="CompilerException">A bug was not found, or the tests fail without one.</exception>
    public static void Run(KernelSources sources, string patches, string[] only, string tests)
    {
        List<Mutant> mutants = [.. Mutant.Read(patches)
            .Where(mutant => only.Length == 0 || only.Any(part => mutant.Name.Contains(part, StringComparison.OrdinalIgnoreCase)))];
        string misfits = string.Join('\n', Misfits(sources, mutants));
        if (misfits.Length > 0)
        {
            throw new CompilerException(misfits);
        }

        string folder = Directory.CreateTempSubdirectory("asft-mutants").FullName;
        try
        {
            string? broken = FirstFailure(tests, Path.Combine(sources.Folder, "ptx"));
            if (broken is not null)
            {
                throw new CompilerException($"The tests fail without any bug planted: {broken}");
            }

            var survivors = new ConcurrentQueue<string>();
            Parallel.For(0, mutants.Count, new ParallelOptions { MaxDegreeOfParallelism = s_workers }, i =>
            {
                Mutant mutant = mutants[i];
                var clock = Stopwatch.StartNew();
                string? found = Find(mutant, sources.Folder, Path.Combine(folder, $"{i}"), tests);
                Console.WriteLine($"{(found is null ? "SURVIVED" : "caught  ")} {clock.Elapsed.TotalSeconds,4:F0} s  {mutant.Name}{(found is null ? string.Empty : $": {found}")}");
                if (found is null)
                {
                    survivors.Enqueue(mutant.Name);
                }
            });

            Console.WriteLine($"{mutants.Count - survivors.Count} of {mutants.Count} caught.");
            if (!survivors.IsEmpty)
            {
                throw new CompilerException($"Not caught: {string.Join("; ", survivors)}.");
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Which bugs cannot be planted.</summary>
    /// <param name="sources">The kernels.</param>
    /// <param name="mutants">The bugs.</param>
    /// <returns>A sentence for each.</returns>
    public static IEnumerable<string> Misfits(KernelSources sources, IEnumerable<Mutant> mutants) => mutants
        .Where(mutant => !mutant.Fits(sources.Folder))
        .Select(mutant => $"The code of the bug '{mutant.Name}' does not occur once in {mutant.File}.");

    /// <summary>
    /// Plants a bug, and runs the tests. What all element types share is compiled for one of them first, as most bugs show there and it is
    /// compiled in a quarter of the time; the others' kernels are the right ones then.
    /// </summary>
    /// <returns>The first test that fails, or null.</returns>
    private static string? Find(Mutant mutant, string sources, string folder, string tests)
    {
        string source = Directory.CreateDirectory(Path.Combine(folder, "source")).FullName;
        string ptx = Directory.CreateDirectory(Path.Combine(folder, "ptx")).FullName;
        mutant.Plant(sources, source);
        foreach (string right in Directory.EnumerateFiles(Path.Combine(sources, "ptx")))
        {
            File.Copy(right, Path.Combine(ptx, Path.GetFileName(right)), overwrite: true);
        }

        bool isShared = Path.GetExtension(mutant.File) == ".cuh";
        Compile(isShared ? FirstModule : Path.GetFileNameWithoutExtension(mutant.File));
        string? found = FirstFailure(tests, ptx);
        if (found is null && isShared)
        {
            Compile(null);
            found = FirstFailure(tests, ptx);
        }

        return found;

        void Compile(string? only)
        {
            foreach ((string module, string text) in KernelBuild.Ptx(new KernelSources(source), only))
            {
                File.WriteAllText(Path.Combine(ptx, module + ".ptx"), text);
            }
        }
    }

    /// <summary>Runs the tests on the PTX of a folder.</summary>
    /// <returns>The first test that fails, or null.</returns>
    private static string? FirstFailure(string tests, string ptx)
    {
        var start = new ProcessStartInfo("dotnet", $"{tests} --filter {Filter} -- NUnit.StopOnError=true NUnit.NumberOfTestWorkers=0")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["ASFT_KERNEL_PTX"] = ptx, ["DOTNET_CLI_UI_LANGUAGE"] = "en" },
        };
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string text = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        string? failed = text.Split('\n').FirstOrDefault(line => line.StartsWith("  Failed ", StringComparison.Ordinal));
        return process.ExitCode == 0 ? null
            : failed?.Trim()["Failed ".Length..]
            ?? throw new CompilerException($"The tests did not run:\n{text}\n{error.Result}");
    }
}
