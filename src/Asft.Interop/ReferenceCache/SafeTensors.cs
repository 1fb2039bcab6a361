using System.Buffers.Binary;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Win32.SafeHandles;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The safetensors file format (github.com/huggingface/safetensors): the length of a header in 8 little-endian bytes, the header,
/// which is JSON, and then the tensors' bytes. Here each tensor is one example's hidden states <c>[T, d]</c>, and its name is the
/// example's number.
/// </summary>
internal static class SafeTensors
{
    private const int LengthBytes = sizeof(long);
    private const int Alignment = 8;
    private const int PieceBytes = 1 << 30;

    /// <summary>The format's name of a dtype.</summary>
    public static string NameOf(ScalarType type) => type == ScalarType.Float32 ? "F32" : "BF16";

    /// <summary>Bytes of one element.</summary>
    public static int SizeOf(ScalarType type) => type == ScalarType.Float32 ? sizeof(float) : sizeof(ushort);

    /// <summary>Writes contiguous tensors in host memory.</summary>
    /// <param name="stream">Where to.</param>
    /// <param name="first">Number of the first example.</param>
    /// <param name="tensors">The examples' states.</param>
    public static unsafe void Write(Stream stream, long first, IReadOnlyList<Tensor> tensors)
    {
        var header = new JsonObject();
        long offset = 0;
        for (int i = 0; i < tensors.Count; i++)
        {
            long end = offset + (tensors[i].numel() * SizeOf(tensors[i].dtype));
            header[Name(first + i)] = new JsonObject
            {
                ["dtype"] = NameOf(tensors[i].dtype),
                ["shape"] = new JsonArray(tensors[i].size(0), tensors[i].size(1)),
                ["data_offsets"] = new JsonArray(offset, end),
            };
            offset = end;
        }

        byte[] json = JsonSerializer.SerializeToUtf8Bytes(header);
        int padded = (json.Length + Alignment - 1) / Alignment * Alignment;
        Span<byte> length = stackalloc byte[LengthBytes];
        BinaryPrimitives.WriteInt64LittleEndian(length, padded);
        stream.Write(length);
        stream.Write(json);
        stream.Write("       "u8[..(padded - json.Length)]);
        foreach (Tensor tensor in tensors)
        {
            long bytes = tensor.numel() * SizeOf(tensor.dtype);
            byte* data = (byte*)TensorMemory.Pointer(tensor);
            for (long done = 0; done < bytes; done += PieceBytes)
            {
                stream.Write(new ReadOnlySpan<byte>(data + done, (int)Math.Min(PieceBytes, bytes - done)));
            }
        }
    }

    /// <summary>Where the states of each example lie in a file: the first byte, and the number of tokens.</summary>
    /// <param name="file">The file.</param>
    /// <param name="shard">What must be in it.</param>
    /// <param name="type">Dtype of the states.</param>
    /// <param name="hiddenSize">Their last dimension.</param>
    /// <exception cref="InvalidDataException">Something else is in it.</exception>
    public static (long Offset, long Tokens)[] ReadHeader(SafeFileHandle file, CacheShard shard, ScalarType type, long hiddenSize)
    {
        Span<byte> length = stackalloc byte[LengthBytes];
        ReadFully(file, length, 0);
        long headerBytes = BinaryPrimitives.ReadInt64LittleEndian(length);
        if (headerBytes <= 0 || headerBytes > shard.Bytes - LengthBytes || headerBytes > PieceBytes)
        {
            throw new InvalidDataException(Invariant($"'{shard.File}' has an impossible header of {headerBytes} bytes."));
        }

        byte[] json = new byte[headerBytes];
        ReadFully(file, json, LengthBytes);
        var entries = new (long, long)[shard.Count];
        try
        {
            using JsonDocument header = JsonDocument.Parse(json);
            for (long i = 0; i < shard.Count; i++)
            {
                JsonElement entry = header.RootElement.GetProperty(Name(shard.First + i));
                JsonElement shape = entry.GetProperty("shape");
                JsonElement offsets = entry.GetProperty("data_offsets");
                long tokens = shape[0].GetInt64();
                long start = offsets[0].GetInt64();
                long bytes = tokens * hiddenSize * SizeOf(type);
                bool holds = entry.GetProperty("dtype").GetString() == NameOf(type)
                    && shape.GetArrayLength() == 2
                    && shape[1].GetInt64() == hiddenSize
                    && start >= 0
                    && offsets[1].GetInt64() == start + bytes
                    && LengthBytes + headerBytes + start + bytes <= shard.Bytes;
                entries[i] = holds
                    ? (LengthBytes + headerBytes + start, tokens)
                    : throw new InvalidDataException(Invariant($"'{shard.File}' does not hold example {shard.First + i} as the index of the cache has it."));
            }
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or IndexOutOfRangeException)
        {
            throw new InvalidDataException($"'{shard.File}' has a header that does not fit the index of the cache: {error.Message}", error);
        }

        return entries;
    }

    /// <summary>Reads the bytes at an offset into memory.</summary>
    public static unsafe void Read(SafeFileHandle file, void* to, long bytes, long offset)
    {
        for (long done = 0; done < bytes; done += PieceBytes)
        {
            ReadFully(file, new Span<byte>((byte*)to + done, (int)Math.Min(PieceBytes, bytes - done)), offset + done);
        }
    }

    private static void ReadFully(SafeFileHandle file, Span<byte> to, long offset)
    {
        while (to.Length > 0)
        {
            int read = RandomAccess.Read(file, to, offset);
            if (read == 0)
            {
                throw new InvalidDataException("The file ends too early.");
            }

            to = to[read..];
            offset += read;
        }
    }

    private static string Name(long example) => example.ToString(CultureInfo.InvariantCulture);
}
