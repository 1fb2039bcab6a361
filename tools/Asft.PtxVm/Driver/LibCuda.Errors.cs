using System.Runtime.InteropServices;
using Asft.Kernels.Cuda;

namespace Asft.PtxVm.Driver;

/// <summary>From exceptions to results, and their texts.</summary>
internal static unsafe partial class LibCuda
{
    private static readonly string[] s_errorNames =
    [
        "CUDA_ERROR_INVALID_VALUE", "CUDA_ERROR_OUT_OF_MEMORY", "CUDA_ERROR_NOT_INITIALIZED", "CUDA_ERROR_NO_DEVICE",
        "CUDA_ERROR_INVALID_DEVICE", "CUDA_ERROR_INVALID_CONTEXT", "CUDA_ERROR_INVALID_PTX", "CUDA_ERROR_INVALID_HANDLE",
        "CUDA_ERROR_NOT_FOUND", "CUDA_ERROR_ILLEGAL_ADDRESS", "CUDA_ERROR_MISALIGNED_ADDRESS", "CUDA_ERROR_LAUNCH_TIMEOUT",
        "CUDA_ERROR_LAUNCH_FAILED", "CUDA_ERROR_NOT_SUPPORTED", "CUDA_ERROR_UNKNOWN",
    ];

    /// <summary>Names of errors never go away; the thread's last text does with its next error.</summary>
    private static readonly Dictionary<int, nint> s_names = [];

    [ThreadStatic]
    private static (int Code, nint Text) s_last;

    private static volatile bool s_initialized;

    [UnmanagedCallersOnly(EntryPoint = "cuGetErrorName")]
    private static int GetErrorName(int error, byte** text)
    {
        lock (s_names)
        {
            if (s_names.Count == 0)
            {
                foreach (var name in s_errorNames)
                {
                    s_names[Constant(name)] = Marshal.StringToCoTaskMemUTF8(name);
                }
            }

            *text = (byte*)s_names.GetValueOrDefault(error);
        }

        return *text == null ? Constant("CUDA_ERROR_INVALID_VALUE") : 0;
    }

    [UnmanagedCallersOnly(EntryPoint = "cuGetErrorString")]
    private static int GetErrorString(int error, byte** text)
    {
        *text = s_last.Code == error ? (byte*)s_last.Text : null;
        return *text == null ? Constant("CUDA_ERROR_INVALID_VALUE") : 0;
    }

    /// <summary>Does what a function is for, and says how it went.</summary>
    private static int Call(Action body)
    {
        try
        {
            Require(s_initialized, "CUDA_ERROR_NOT_INITIALIZED", "cuInit was not called");
            body();
            return 0;
        }
        catch (Exception error)
        {
            return Failed(error);
        }
    }

    // No exception may leave a function that native code has called.
    private static int Failed(Exception error)
    {
        var code = Constant(error switch
        {
            DriverException driver => driver.Name,
            PtxFaultException { Kind: PtxFaultKind.OutOfBounds } => "CUDA_ERROR_ILLEGAL_ADDRESS",
            PtxFaultException { Kind: PtxFaultKind.Misaligned } => "CUDA_ERROR_MISALIGNED_ADDRESS",
            PtxFaultException { Kind: PtxFaultKind.Deadlock or PtxFaultKind.InstructionBudget } => "CUDA_ERROR_LAUNCH_TIMEOUT",
            PtxFaultException => "CUDA_ERROR_LAUNCH_FAILED",
            OutOfMemoryException => "CUDA_ERROR_OUT_OF_MEMORY",
            CudaException => "CUDA_ERROR_INVALID_VALUE",
            _ => "CUDA_ERROR_UNKNOWN",
        });
        Marshal.FreeCoTaskMem(s_last.Text);
        s_last = (code, Marshal.StringToCoTaskMemUTF8(error.Message));
        return code;
    }

    private static void Require(bool holds, string error, string otherwise)
    {
        if (!holds)
        {
            throw new DriverException(error, otherwise);
        }
    }

    /// <summary>What a driver answers with an error of its own.</summary>
    private sealed class DriverException(string name, string message) : Exception(message)
    {
        public string Name { get; } = name;
    }

    /// <summary>Handles of one kind, which are the numbers after <paramref name="first"/>: no number is a handle of two kinds.</summary>
    private sealed class Handles<T>(string kind, nint first)
        where T : class
    {
        private readonly Dictionary<nint, T> _all = [];
        private nint _last = first;

        public nint Add(T what)
        {
            lock (_all)
            {
                _all.Add(++_last, what);
                return _last;
            }
        }

        public T Find(nint handle)
        {
            lock (_all)
            {
                return _all.TryGetValue(handle, out var what)
                    ? what
                    : throw new DriverException("CUDA_ERROR_INVALID_HANDLE", $"0x{handle:x} is no {kind}");
            }
        }

        public void Remove(nint handle)
        {
            Find(handle);
            lock (_all)
            {
                _all.Remove(handle);
            }
        }
    }
}
