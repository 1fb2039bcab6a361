using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>A tensor in a safetensors file.</summary>
/// <param name="Type">Its dtype.</param>
/// <param name="Shape">Its shape; the product fits its bytes.</param>
/// <param name="Offset">Where its bytes begin, from the beginning of the file. They lie inside the file.</param>
internal sealed record SafeTensor(ScalarType Type, long[] Shape, long Offset);

/// <summary>
/// The safetensors file format (github.com/huggingface/safetensors): the length of a header in 8 little-endian bytes, the header,
/// which is JSON, and then the tensors' bytes. Tensors are bfloat16, float32 or int32.
/// </summary>
internal static class SafeTensors
{
    /// <summary>Bytes of the longest header that the format's own reader takes.</summary>
    public const int MaxHeaderBytes = 100_000_000;

    private const int LengthBytes = sizeof(long);
    private const int Alignment = 8;
    private const int PieceBytes = 1 << 30;
    private const string Metadata = "__metadata__";

    /// <summary>The format's name of a dtype.</summary>
    public static string NameOf(ScalarType type) => type switch { ScalarType.Float32 => "F32", ScalarType.Int32 => "I32", _ => "BF16" };

    /// <summary>Bytes of one element.</summary>
    public static int SizeOf(ScalarType type) => type == ScalarType.BFloat16 ? sizeof(ushort) : sizeof(float);

    /// <summary>Writes contiguous tensors in host memory.</summary>
    /// <param name="file">Where to.</param>
    /// <param name="tensors">The tensors and their names, each of which is there once.</param>
    public static unsafe void Write(Stream file, IReadOnlyList<(string Name, Tensor Tensor)> tensors)
    {
        var header = new JsonObject();
        long offset = 0;
        foreach ((string name, Tensor tensor) in tensors)
        {
            long end = offset + Bytes(tensor);
            header.Add(name, new JsonObject
            {
                ["dtype"] = NameOf(tensor.dtype),
                ["shape"] = new JsonArray([.. tensor.shape.Select(size => JsonValue.Create(size))]),
                ["data_offsets"] = new JsonArray(offset, end),
            });
            offset = end;
        }

        byte[] json = Encoding.UTF8.GetBytes(header.ToJsonString());
        int padded = (json.Length + Alignment - 1) / Alignment * Alignment;
        Span<byte> length = stackalloc byte[LengthBytes];
        BinaryPrimitives.WriteInt64LittleEndian(length, padded);
        file.Write(length);
        file.Write(json);
        file.Write("       "u8[..(padded - json.Length)]);
        foreach ((_, Tensor tensor) in tensors)
        {
            long bytes = Bytes(tensor);
            byte* data = (byte*)TensorMemory.Pointer(tensor);
            for (long done = 0; done < bytes; done += PieceBytes)
            {
                file.Write(new ReadOnlySpan<byte>(data + done, (int)Math.Min(PieceBytes, bytes - done)));
            }
        }
    }

    /// <summary>Which tensors are in a file, by name.</summary>
    /// <exception cref="InvalidDataException">It is no safetensors file, a damaged one, or has tensors of another dtype.</exception>
    public static Dictionary<string, SafeTensor> ReadHeader(FileStream file)
    {
        Span<byte> length = stackalloc byte[LengthBytes];
        ReadFully(file, length, 0);
        long headerBytes = BinaryPrimitives.ReadInt64LittleEndian(length);
        if (headerBytes <= 0 || headerBytes > MaxHeaderBytes || headerBytes > file.Length - LengthBytes)
        {
            throw Damaged.File(file.Name, $"its header has an impossible length, {headerBytes} bytes");
        }

        byte[] json = new byte[headerBytes];
        ReadFully(file, json, LengthBytes);
        long begin = LengthBytes + headerBytes;
        var tensors = new Dictionary<string, SafeTensor>(StringComparer.Ordinal);
        try
        {
            using JsonDocument header = JsonDocument.Parse(json);
            CheckNames(header.RootElement);
            foreach (JsonProperty entry in header.RootElement.EnumerateObject())
            {
                if (!entry.NameEquals(Metadata))
                {
                    tensors.Add(entry.Name, Parse(entry.Value, begin, file.Length));
                }
            }
        }
        catch (Exception error) when (error is
            JsonException or KeyNotFoundException or InvalidOperationException or FormatException or OverflowException or InvalidDataException)
        {
            throw Damaged.File(file.Name, $"its header is none of a safetensors file: {error.Message}", error);
        }

        return tensors;
    }

    /// <summary>Reads a tensor's bytes into contiguous host memory of its dtype.</summary>
    /// <param name="file">The file.</param>
    /// <param name="tensor">The tensor, from the file's header.</param>
    /// <param name="into">A tensor of its dtype and number of elements.</param>
    /// <exception cref="InvalidDataException">The file ends too early.</exception>
    public static unsafe void Read(FileStream file, SafeTensor tensor, Tensor into)
    {
        long bytes = Bytes(into);
        byte* data = (byte*)TensorMemory.Pointer(into);
        for (long done = 0; done < bytes; done += PieceBytes)
        {
            ReadFully(file, new Span<byte>(data + done, (int)Math.Min(PieceBytes, bytes - done)), tensor.Offset + done);
        }
    }

    /// <summary>Each name is there once, at every level: of two entries, one reader takes the first and another the last.</summary>
    private static void CheckNames(JsonElement element)
    {
        if (element.ValueKind != JsonValueKind.Object)
        {
            return;
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (JsonProperty entry in element.EnumerateObject())
        {
            if (!names.Add(entry.Name))
            {
                throw new InvalidDataException($"it has two entries \"{entry.Name}\"");
            }

            CheckNames(entry.Value);
        }
    }

    private static SafeTensor Parse(JsonElement entry, long begin, long fileBytes)
    {
        ScalarType type = entry.GetProperty("dtype").GetString() switch
        {
            "F32" => ScalarType.Float32,
            "BF16" => ScalarType.BFloat16,
            "I32" => ScalarType.Int32,
            var other => throw new InvalidDataException($"its dtype is {other}, where F32, BF16 and I32 are known"),
        };
        long[] shape = [.. entry.GetProperty("shape").EnumerateArray().Select(size => size.GetInt64())];
        long[] offsets = [.. entry.GetProperty("data_offsets").EnumerateArray().Select(offset => offset.GetInt64())];
        long bytes = shape.Aggregate((long)SizeOf(type), (product, size) => checked(product * size));
        return Array.TrueForAll(shape, size => size >= 0)
            && offsets is [>= 0 and long start, long end]
            && start <= end
            && end - start == bytes
            && end <= fileBytes - begin
            ? new SafeTensor(type, shape, begin + start)
            : throw new InvalidDataException(Invariant(
                $"a tensor of the shape [{string.Join(", ", shape)}] at the bytes [{string.Join(", ", offsets)}] of {fileBytes - begin}"));
    }

    /// <summary>Bytes of a tensor.</summary>
    public static long Bytes(Tensor tensor) => tensor.numel() * SizeOf(tensor.dtype);

    private static void ReadFully(FileStream file, Span<byte> to, long offset)
    {
        file.Position = offset;
        if (file.ReadAtLeast(to, to.Length, throwOnEndOfStream: false) < to.Length)
        {
            throw Damaged.File(file.Name, $"it ends before byte {offset + to.Length}");
        }
    }
}
