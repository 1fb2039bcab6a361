using System.Collections.Concurrent;
using System.ComponentModel;
using System.Diagnostics;

namespace Asft.KernelCompiler;

/// <summary>
/// A later assembler than NVRTC's own: NVIDIA's ptxas of CUDA 12.4. What it makes of the PTX that is shipped is nearer to what drivers make of
/// it today.
/// </summary>
internal static class Ptxas
{
    /// <summary>The release whose output is checked in: another one's may differ.</summary>
    public const string Release = "12.4";

    /// <summary>
    /// Bytes of registers that it may spill, and does in one careful gradient on sm_90; NVRTC, with other choices, must not spill any.
    /// </summary>
    public const int Spilled = 8;

    /// <summary>Where scripts/ensure-ptxas.sh puts it; elsewhere it is looked for on the PATH.</summary>
    private static readonly string s_folder = Path.Combine("out", "ptxas");

    /// <summary>Whether the program is there, in that release.</summary>
    public static bool IsInstalled => Answers();

    /// <summary>Assembles every module for every architecture.</summary>
    /// <param name="ptx">The texts, by module.</param>
    /// <returns>All kernels, on all architectures, in a fixed order.</returns>
    public static IReadOnlyList<KernelUse> Uses(IReadOnlyDictionary<string, string> ptx)
    {
        var uses = new ConcurrentBag<KernelUse>();
        string folder = Directory.CreateTempSubdirectory("asft-ptxas").FullName;
        try
        {
            KernelBuild.InParallel(ptx.SelectMany(module => Architecture.All.Select(architecture => (module.Key, module.Value, architecture))), one =>
            {
                string file = Path.Combine(folder, $"{one.Key}.{one.architecture.Name}");
                File.WriteAllText($"{file}.ptx", one.Value);
                string log = Run(["-v", $"-arch={one.architecture.Name}", $"{file}.ptx", "-o", $"{file}.cubin"]);
                foreach (KernelUse use in KernelUse.Parse(one.Key, one.architecture, log, KernelUse.ThreadsOf(one.Value)))
                {
                    uses.Add(use);
                }
            });
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        return KernelUse.InOrder(uses);
    }

    private static bool Answers()
    {
        try
        {
            return Run(["--version"]).Contains($"release {Release}", StringComparison.Ordinal);
        }
        catch (Exception error) when (error is Win32Exception or CompilerException)
        {
            return false;
        }
    }

    /// <summary>Runs the program.</summary>
    /// <returns>What it said, on either stream.</returns>
    private static string Run(string[] arguments)
    {
        string own = Path.GetFullPath(Path.Combine(s_folder, "ptxas"));
        var start = new ProcessStartInfo(File.Exists(own) ? own : "ptxas", arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? output + error.Result : throw new CompilerException($"ptxas failed: {output}{error.Result}".Trim());
    }
}
