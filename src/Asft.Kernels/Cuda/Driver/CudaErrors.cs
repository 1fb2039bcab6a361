using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Asft.Kernels.Cuda.Driver;

/// <summary>From a <c>CUresult</c> to an exception that says what was tried.</summary>
internal static unsafe class CudaErrors
{
    /// <summary>Throws unless a call succeeded.</summary>
    /// <param name="api">The driver.</param>
    /// <param name="result">What the call returned.</param>
    /// <param name="tried">What was tried: the beginning of the message, put together only for a failure.</param>
    /// <exception cref="CudaException">The call failed.</exception>
    public static void Check(CudaApi api, int result, [InterpolatedStringHandlerArgument(nameof(result))] ref FailureText tried)
    {
        if (result != CudaConstants.Success)
        {
            throw new CudaException($"{tried.ToStringAndClear()}: {Describe(api, result)}.");
        }
    }

    /// <summary><c>CUDA_ERROR_OUT_OF_MEMORY (out of memory)</c>.</summary>
    public static string Describe(CudaApi api, int result)
    {
        byte* name = null;
        byte* text = null;
        _ = api.GetErrorName(result, &name);
        _ = api.GetErrorString(result, &text);
        return name == null
            ? Invariant($"CUDA error {result}")
            : $"{Marshal.PtrToStringUTF8((nint)name)} ({Marshal.PtrToStringUTF8((nint)text)})";
    }
}

/// <summary>An interpolated string that costs nothing where the call it is about succeeded: launches are frequent, failures are not.</summary>
[InterpolatedStringHandler]
internal ref struct FailureText
{
    private DefaultInterpolatedStringHandler _text;

    /// <summary>Called by the compiler.</summary>
    public FailureText(int literalLength, int formattedCount, int result, out bool failed)
    {
        failed = result != CudaConstants.Success;
        if (failed)
        {
            _text = new DefaultInterpolatedStringHandler(literalLength, formattedCount, CultureInfo.InvariantCulture);
        }
    }

    /// <summary>Called by the compiler.</summary>
    public void AppendLiteral(string value) => _text.AppendLiteral(value);

    /// <summary>Called by the compiler.</summary>
    public void AppendFormatted<T>(T value) => _text.AppendFormatted(value);

    /// <summary>The text.</summary>
    public string ToStringAndClear() => _text.ToStringAndClear();
}
