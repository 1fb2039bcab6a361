using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using Asft.Kernels.Cuda;

namespace Asft.KernelCompiler;

/// <summary>Compiles a folder of kernels, each file in a process of its own: NVRTC compiles one at a time in a process.</summary>
internal static class KernelBuild
{
    /// <summary>The verb that compiles one file in this process: file, architecture, output.</summary>
    public const string OneVerb = "one";

    /// <summary>Compiles files to PTX.</summary>
    /// <param name="sources">The kernels.</param>
    /// <param name="only">The name of the one file to compile, with the one for clusters, without its ending; null for all.</param>
    /// <returns>The texts, by the name of the file without its ending; the first line of each is the sources' hash.</returns>
    public static IReadOnlyDictionary<string, string> Ptx(KernelSources sources, string? only = null)
    {
        var texts = new ConcurrentDictionary<string, string>();
        InParallel(sources.Files.Where(file => only is null || Path.GetFileNameWithoutExtension(file) is var name && (name == only || name == only + KernelChoice.ForClusters)), file =>
        {
            (byte[] output, _) = InProcess(file, Architecture.PtxOf(Path.GetFileNameWithoutExtension(file)));
            texts[Path.GetFileNameWithoutExtension(file)] = $"{sources.HashLine(file)}\n{Encoding.UTF8.GetString(output).ReplaceLineEndings("\n")}";
        });
        return texts;
    }

    /// <summary>Compiles every file for every architecture and asks what its kernels take.</summary>
    /// <param name="sources">The kernels.</param>
    /// <param name="ptx">Their PTX.</param>
    /// <returns>All kernels, on all architectures, in a fixed order.</returns>
    public static IReadOnlyList<KernelUse> Uses(KernelSources sources, IReadOnlyDictionary<string, string> ptx)
    {
        var uses = new ConcurrentBag<KernelUse>();
        InParallel(sources.Files.SelectMany(file => Architecture.Of(Path.GetFileNameWithoutExtension(file)).Select(architecture => (file, architecture))), one =>
        {
            string module = Path.GetFileNameWithoutExtension(one.file);
            (_, string log) = InProcess(one.file, one.architecture.Name);
            foreach (KernelUse use in KernelUse.Parse(module, one.architecture, log, KernelUse.ThreadsOf(ptx[module])))
            {
                uses.Add(use);
            }
        });
        return KernelUse.InOrder(uses);
    }

    /// <summary>Compiles one file here, for <see cref="OneVerb"/>: the output goes to a file, the log to the console.</summary>
    /// <param name="file">The file.</param>
    /// <param name="architecture">The architecture.</param>
    /// <param name="output">Where the output goes.</param>
    public static void One(string file, string architecture, string output)
    {
        (byte[] result, string log) = Nvrtc.Compile(file, architecture);
        File.WriteAllBytes(output, result);
        Console.Out.Write(log);
    }

    private static (byte[] Output, string Log) InProcess(string file, string architecture)
    {
        string output = Path.GetTempFileName();
        try
        {
            string host = Environment.ProcessPath!;
            bool isHosted = Path.GetFileNameWithoutExtension(host) == "dotnet";
            var start = new ProcessStartInfo(host) { RedirectStandardOutput = true, RedirectStandardError = true };
            string[] arguments = [OneVerb, file, architecture, output];
            foreach (string argument in isHosted ? arguments.Prepend(typeof(KernelBuild).Assembly.Location) : arguments)
            {
                start.ArgumentList.Add(argument);
            }

            using Process process = Process.Start(start)!;
            Task<string> error = process.StandardError.ReadToEndAsync();
            string log = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0
                ? (File.ReadAllBytes(output), log)
                : throw new CompilerException(error.Result.Trim());
        }
        finally
        {
            File.Delete(output);
        }
    }

    /// <summary>Does something for each of some items, as many at a time as there are processors.</summary>
    /// <param name="items">The items.</param>
    /// <param name="action">What is done.</param>
    /// <exception cref="CompilerException">It was thrown for one of them.</exception>
    public static void InParallel<T>(IEnumerable<T> items, Action<T> action)
    {
        try
        {
            Parallel.ForEach(items, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, action);
        }
        catch (AggregateException all) when (all.InnerException is CompilerException first)
        {
            throw first;
        }
    }
}
