using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Asft.Interop;
using BenchmarkDotNet.Environments;
using static TorchSharp.torch;

namespace Asft.Bench.Results;

/// <summary>Where and with what something was measured.</summary>
public sealed record Machine(
    string Processor, int Cores, string Simd, string Memory, string Os, string DotNet, string TorchSharp, string Asft, string Kernels, string Cuda,
    string Pages)
{
    /// <summary>The environment's variable that glibc takes its settings from.</summary>
    internal const string Tunables = "GLIBC_TUNABLES";

    private static readonly Lazy<Machine> s_current = new(Look);

    /// <summary>This machine, and this build, as first looked at in this process.</summary>
    public static Machine Current => s_current.Value;

    private static Machine Look()
    {
        HostEnvironmentInfo host = HostEnvironmentInfo.GetCurrent();
        return new Machine(
            host.Cpu.Value?.ProcessorName ?? "unknown",
            Environment.ProcessorCount,
            SimdWidth() + " bits",
            (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (double)(1 << 30)).ToString("0", CultureInfo.InvariantCulture) + " GiB",
            RuntimeInformation.OSDescription + ", " + RuntimeInformation.OSArchitecture,
            RuntimeInformation.FrameworkDescription,
            Version(typeof(Tensor).Assembly),
            Commit(),
            AsftRuntime.Describe().ReplaceLineEndings(" "),
            cuda.is_available() ? $"{cuda.device_count()} device(s)" : "none",
            MemoryPages());
    }

    /// <summary>What large tensors lie in: the system's setting, and what the environment asks of the C library.</summary>
    private static string MemoryPages()
    {
        const string Setting = "/sys/kernel/mm/transparent_hugepage/enabled";
        string huge = File.Exists(Setting) ? File.ReadAllText(Setting).Split('[', ']')[1] : "unknown";
        return $"transparent huge pages: {huge}; {Tunables}: {Environment.GetEnvironmentVariable(Tunables) ?? "not set"}";
    }

    private static int SimdWidth() =>
        Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : Vector128.IsHardwareAccelerated ? 128 : 0;

    private static string Version(Assembly assembly) =>
        (assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown").Split('+')[0];

    /// <summary>Version and commit of this project; a tree that differs from the commit is said to.</summary>
    private static string Commit()
    {
        string version = Version(typeof(AsftFunctional).Assembly);
        string? commit = Git("rev-parse --short HEAD");
        bool changed = Git("status --porcelain -- src kernels bench") is { Length: > 0 };
        return commit is null ? version : $"{version}, commit {commit}{(changed ? " with changes" : string.Empty)}";
    }

    private static string? Git(string arguments)
    {
        try
        {
            using Process git = Process.Start(new ProcessStartInfo("git", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            string text = git.StandardOutput.ReadToEnd().Trim();
            git.WaitForExit();
            return git.ExitCode == 0 ? text : null;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null; // no git here
        }
    }
}
