using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// SHA-256 fingerprints (64 hexadecimal digits) of what a <see cref="ReferenceCache"/> depends on. Equal contents have equal
/// fingerprints on every machine, wherever their tensors are.
/// </summary>
public static class Fingerprint
{
    private const int PieceBytes = 1 << 30;

    /// <summary>Of a module: names, dtypes, shapes and values of all its parameters and buffers.</summary>
    /// <param name="module">The module.</param>
    /// <returns>The fingerprint.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="module"/> is null.</exception>
    public static string Of(nn.Module module)
    {
        ArgumentNullException.ThrowIfNull(module);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach ((string name, Tensor tensor) in module.state_dict().OrderBy(entry => entry.Key, StringComparer.Ordinal))
        {
            byte[] text = Encoding.UTF8.GetBytes(name);
            Append(hash, text.Length);
            hash.AppendData(text);
            Append(hash, tensor);
        }

        return Finish(hash);
    }

    /// <summary>
    /// Of tensors in a given order, for example the weight and the bias of a head: their dtypes, shapes and values.
    /// </summary>
    /// <param name="tensors">The tensors; a null stands for one that is not there.</param>
    /// <returns>The fingerprint.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="tensors"/> is null.</exception>
    public static string Of(params Tensor?[] tensors)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (Tensor? tensor in tensors)
        {
            if (tensor is null)
            {
                Append(hash, -1);
            }
            else
            {
                Append(hash, tensor);
            }
        }

        return Finish(hash);
    }

    /// <summary>Of a data set: the tokens of every example, and the order of the examples.</summary>
    /// <param name="examples">The examples.</param>
    /// <returns>The fingerprint.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="examples"/> is null.</exception>
    public static string Of(IEnumerable<long[]> examples)
    {
        ArgumentNullException.ThrowIfNull(examples);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (long[] example in examples)
        {
            Append(hash, example.Length);
            foreach (long token in example)
            {
                Append(hash, token);
            }
        }

        return Finish(hash);
    }

    private static unsafe void Append(IncrementalHash hash, Tensor tensor)
    {
        using IDisposable noGrad = no_grad();
        using Tensor onHost = tensor.detach().cpu();
        using Tensor dense = onHost.contiguous();
        Append(hash, (long)dense.dtype);
        Append(hash, dense.dim());
        foreach (long size in dense.shape)
        {
            Append(hash, size);
        }

        byte* data = (byte*)TensorMemory.Pointer(dense);
        long bytes = dense.numel() * dense.element_size();
        for (long done = 0; done < bytes; done += PieceBytes)
        {
            hash.AppendData(new ReadOnlySpan<byte>(data + done, (int)Math.Min(PieceBytes, bytes - done)));
        }
    }

    private static void Append(IncrementalHash hash, long value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        hash.AppendData(bytes);
    }

    private static string Finish(IncrementalHash hash) => Convert.ToHexStringLower(hash.GetHashAndReset());
}
