namespace Asft.KernelCompiler;

/// <summary>What the program does.</summary>
internal static class Commands
{
    /// <summary>Compiles the kernels; writes what came of them, or compares it with what is there.</summary>
    /// <param name="sources">The kernels.</param>
    /// <param name="output">A folder for the PTX alone; null for the usual places.</param>
    /// <param name="check">Whether to compare.</param>
    public static void Build(KernelSources sources, string? output, bool check)
    {
        if (!Nvrtc.IsInstalled)
        {
            throw new CompilerException("NVRTC of CUDA 11.8 (libnvrtc.so.11.2 or nvrtc64_112_0.dll) is not there. scripts/ensure-nvrtc.sh installs it on Debian 12.");
        }

        // Before the sources are read: they include it.
        string constantsFile = Path.Combine(sources.Folder, ConstantsHeader.FileName);
        if (output is null && !check)
        {
            File.WriteAllText(constantsFile, ConstantsHeader.Write());
        }

        IReadOnlyDictionary<string, string> ptx = KernelBuild.Ptx(sources);
        string folder = output ?? Path.Combine(sources.Folder, "ptx");
        if (output is not null)
        {
            WriteAll(folder, ptx);
            return;
        }

        foreach (string program in (string[])["ptxas", "nvdisasm"])
        {
            if (!CudaTool.IsInstalled(program))
            {
                throw new CompilerException($"{program} of CUDA {CudaTool.Release} is not there. scripts/ensure-ptxas.sh gets it on Debian.");
            }
        }

        IReadOnlyList<KernelUse> uses = KernelBuild.Uses(sources, ptx);
        (IReadOnlyList<KernelUse> later, IReadOnlyList<KernelLoops> loops) = Ptxas.Assemble(ptx);
        string report = KernelReport.Write(uses, later, loops);
        string reportFile = Path.Combine(sources.Folder, "report.md");
        List<string> complaints = [.. Complaints(uses, "NVRTC"), .. Complaints(later, $"ptxas {CudaTool.Release}")];
        if (check)
        {
            AddIfStale(complaints, constantsFile, ConstantsHeader.Write());
            foreach ((string module, string text) in ptx.OrderBy(pair => pair.Key, StringComparer.Ordinal))
            {
                AddIfStale(complaints, Path.Combine(folder, module + ".ptx"), text);
            }

            complaints.AddRange(Directory.EnumerateFiles(folder, "*.ptx")
                .Where(file => !ptx.ContainsKey(Path.GetFileNameWithoutExtension(file)))
                .Select(file => $"{file} has no source."));
            AddIfStale(complaints, reportFile, report);
            complaints.AddRange(MutationCheck.Misfits(sources, Mutant.Read(Path.Combine(sources.Folder, MutationCheck.FileName))));
        }
        else
        {
            WriteAll(folder, ptx);
            File.WriteAllText(reportFile, report);
        }

        if (complaints.Count > 0)
        {
            throw new CompilerException(string.Join('\n', complaints));
        }

        Console.WriteLine($"{uses.DistinctBy(use => (use.Module, use.Kernel)).Count()} kernels in {ptx.Count} files: nothing spills, and nothing is stale.");
    }

    /// <summary>Runs something; what is wrong with the kernels goes to the error stream, and 1 is returned.</summary>
    /// <param name="run">What to run.</param>
    /// <returns>The exit code.</returns>
    public static int Guard(Action run)
    {
        try
        {
            run();
            return 0;
        }
        catch (CompilerException exception)
        {
            Console.Error.WriteLine(exception.Message);
            return 1;
        }
    }

    private static IEnumerable<string> Complaints(IEnumerable<KernelUse> uses, string assembler) => uses
        .Where(use => use.Complaint is not null)
        .Select(use => $"{use.Module}.cu: {use.Kernel} {use.Complaint} on {use.Architecture.Name}, by {assembler}.");

    private static void AddIfStale(List<string> complaints, string file, string text)
    {
        if (!File.Exists(file) || File.ReadAllText(file).ReplaceLineEndings("\n") != text)
        {
            complaints.Add($"{file} is stale: run ./build.sh kernels.");
        }
    }

    private static void WriteAll(string folder, IReadOnlyDictionary<string, string> ptx)
    {
        Directory.CreateDirectory(folder);
        foreach ((string module, string text) in ptx)
        {
            File.WriteAllText(Path.Combine(folder, module + ".ptx"), text);
        }
    }
}
