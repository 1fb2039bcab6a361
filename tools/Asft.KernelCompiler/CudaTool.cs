using System.ComponentModel;
using System.Diagnostics;

namespace Asft.KernelCompiler;

/// <summary>Programs of NVIDIA's toolkit of CUDA 12.4: ptxas and nvdisasm.</summary>
internal static class CudaTool
{
    /// <summary>The release whose output is checked in: another one's may differ.</summary>
    public const string Release = "12.4";

    /// <summary>Where scripts/ensure-ptxas.sh puts them; elsewhere they are looked for on the PATH.</summary>
    private static readonly string s_folder = Path.Combine("out", "ptxas");

    /// <summary>Whether a program is there, in that release.</summary>
    /// <param name="program">Its name.</param>
    /// <returns>True when it is.</returns>
    public static bool IsInstalled(string program)
    {
        try
        {
            return Run(program, "--version").Contains($"release {Release}", StringComparison.Ordinal);
        }
        catch (Exception error) when (error is Win32Exception or CompilerException)
        {
            return false;
        }
    }

    /// <summary>Runs a program.</summary>
    /// <param name="program">Its name.</param>
    /// <param name="arguments">What it is given.</param>
    /// <returns>What it said, on either stream.</returns>
    /// <exception cref="CompilerException">It failed.</exception>
    public static string Run(string program, params string[] arguments)
    {
        string own = Path.GetFullPath(Path.Combine(s_folder, program));
        var start = new ProcessStartInfo(File.Exists(own) ? own : program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? output + error.Result : throw new CompilerException($"{program} failed: {output}{error.Result}".Trim());
    }
}
