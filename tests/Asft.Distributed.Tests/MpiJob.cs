using System.Diagnostics;
using System.Globalization;

namespace Asft.Distributed.Tests;

/// <summary>Jobs of the rank program, by the launcher of an MPI.</summary>
internal static class MpiJob
{
    public const string OpenMpi = "mpirun.openmpi";
    public const string Mpich = "mpirun.mpich";

    /// <summary>Both engines, under their names in Debian.</summary>
    public static readonly string[] Launchers = [OpenMpi, Mpich];

    /// <summary>Skips the test where a launcher is not installed.</summary>
    public static void SkipWithout(string launcher)
    {
        if (!(Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(Path.PathSeparator).Any(folder => File.Exists(Path.Combine(folder, launcher))))
        {
            Assert.Ignore($"no {launcher} (Debian: openmpi-bin, mpich)");
        }
    }

    /// <summary>Runs one to its end.</summary>
    /// <param name="launcher">The launcher.</param>
    /// <param name="ranks">How many ranks.</param>
    /// <param name="environment">Variables that the ranks find, besides those of this process.</param>
    /// <param name="arguments">Arguments of the rank program.</param>
    public static Outcome Run(string launcher, int ranks, IReadOnlyDictionary<string, string>? environment, params string[] arguments)
    {
        SkipWithout(launcher);
        var start = new ProcessStartInfo(launcher)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = AppContext.BaseDirectory,
        };
        string[] more = launcher == OpenMpi ? ["--bind-to", "none", "--oversubscribe"] : [];
        foreach (string argument in (string[])
            [.. more, "-n", ranks.ToString(CultureInfo.InvariantCulture), DotNet, "Asft.Distributed.Ranks.dll", .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment["OMPI_ALLOW_RUN_AS_ROOT"] = "1"; // as in a container
        start.Environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1";
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        using Process job = Process.Start(start)!;
        Task<string> output = job.StandardOutput.ReadToEndAsync();
        Task<string> errors = job.StandardError.ReadToEndAsync();
        if (!job.WaitForExit(TimeSpan.FromMinutes(3)))
        {
            job.Kill(entireProcessTree: true);
            Assert.Fail($"The job did not end: {output.Result}{errors.Result}");
        }

        return new Outcome(job.ExitCode, output.Result + errors.Result);
    }

    private static string DotNet => Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";

    /// <summary>What became of a job.</summary>
    internal sealed record Outcome(int ExitCode, string Output);
}
