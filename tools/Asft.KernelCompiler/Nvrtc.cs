using System.Runtime.InteropServices;
using System.Text;

namespace Asft.KernelCompiler;

/// <summary>NVIDIA's runtime compiler, as far as it is needed here: CUDA C++ in, PTX or machine code out.</summary>
internal static unsafe partial class Nvrtc
{
    private const string Library = "nvrtc";

    /// <summary>The release whose output is checked in: with another one the PTX would differ.</summary>
    private static readonly string[] s_names = ["libnvrtc.so.11.2", "nvrtc64_112_0.dll"];

    static Nvrtc() => NativeLibrary.SetDllImportResolver(typeof(Nvrtc).Assembly, (name, assembly, path) =>
    {
        nint handle = 0;
        return name == Library && s_names.Any(candidate => NativeLibrary.TryLoad(candidate, assembly, path, out handle)) ? handle : 0;
    });

    /// <summary>Whether the library can be found.</summary>
    public static bool IsInstalled => s_names.Any(name => NativeLibrary.TryLoad(name, typeof(Nvrtc).Assembly, null, out _));

    /// <summary>Compiles one file.</summary>
    /// <param name="file">The file.</param>
    /// <param name="architecture">compute_80 for PTX, sm_80 and the like for machine code.</param>
    /// <returns>The result and what the compiler said.</returns>
    /// <exception cref="CompilerException">The compiler refuses the file; the message is its own.</exception>
    public static (byte[] Output, string Log) Compile(string file, string architecture)
    {
        bool isPtx = architecture.StartsWith("compute", StringComparison.Ordinal);
        string[] options =
        [
            $"--gpu-architecture={architecture}",
            $"--include-path={Path.GetDirectoryName(Path.GetFullPath(file))}",
            "--std=c++17",
            "--fmad=false", // every fused operation is written as one
            "--device-as-default-execution-space", // generic lambdas cannot say so themselves
            .. isPtx ? Array.Empty<string>() : ["--ptxas-options=-v"],
        ];
        nint program;
        Check(nvrtcCreateProgram(&program, File.ReadAllText(file), Path.GetFileName(file), 0, null, null), "nvrtcCreateProgram");
        int result = nvrtcCompileProgram(program, options.Length, options);
        nuint size;
        Check(nvrtcGetProgramLogSize(program, &size), "nvrtcGetProgramLogSize");
        byte[] bytes = new byte[size];
        fixed (byte* target = bytes)
        {
            Check(nvrtcGetProgramLog(program, target), "nvrtcGetProgramLog");
        }

        string log = Encoding.UTF8.GetString(bytes).TrimEnd('\0');
        if (result != 0)
        {
            throw new CompilerException($"{file} does not compile:\n{log}");
        }

        Check(isPtx ? nvrtcGetPTXSize(program, &size) : nvrtcGetCUBINSize(program, &size), "the size of the output");
        byte[] output = new byte[size];
        fixed (byte* target = output)
        {
            Check(isPtx ? nvrtcGetPTX(program, target) : nvrtcGetCUBIN(program, target), "the output");
        }

        return (isPtx ? output[..^1] : output, log); // PTX ends with a 0
    }

    private static void Check(int result, string what)
    {
        if (result != 0)
        {
            throw new CompilerException($"NVRTC failed with {result} at {what}.");
        }
    }

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int nvrtcCreateProgram(nint* program, string source, string name, int headers, byte** contents, byte** names);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int nvrtcCompileProgram(nint program, int count, string[] options);

    [LibraryImport(Library)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int nvrtcGetProgramLogSize(nint program, nuint* size);

    [LibraryImport(Library)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int nvrtcGetProgramLog(nint program, byte* log);

    [LibraryImport(Library)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int nvrtcGetPTXSize(nint program, nuint* size);

    [LibraryImport(Library)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int nvrtcGetPTX(nint program, byte* ptx);

    [LibraryImport(Library)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int nvrtcGetCUBINSize(nint program, nuint* size);

    [LibraryImport(Library)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int nvrtcGetCUBIN(nint program, byte* cubin);
}

/// <summary>Something is wrong with the kernels or with what came of them; the message is for people.</summary>
internal sealed class CompilerException(string message) : Exception(message);
