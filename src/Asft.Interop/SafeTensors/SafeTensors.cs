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
internal sealed record SafeTensor(ScalarType Type, long[] Shape, long Offset)
{
    /// <summary>How many bytes it has.</summary>
    public long Bytes => Shape.Aggregate((long)SafeTensors.SizeOf(Type), (product, size) => product * size);
}

/// <summary>
/// The safetensors file format (github.com/huggingface/safetensors): the length of a header in 8 little-endian bytes, the header,
/// which is JSON, and then the tensors' bytes. Tensors are float64, float32, float16, bfloat16 or int32. The one reader and writer of
/// <see cref="ReferenceCache"/> and <see cref="SafeTensorsFile"/>.
/// </summary>
internal static class SafeTensors
{
    /// <summary>Bytes of the longest header that the format's own reader takes.</summary>
    public const int MaxHeaderBytes = 100_000_000;

    /// <summary>The entry of a header that is no tensor.</summary>
    public const string Metadata = "__metadata__";

    private const int LengthBytes = sizeof(long);
    private const int Alignment = 8;
    private const int PieceBytes = 1 << 30;

    private static readonly (ScalarType Type, string Name, int Bytes)[] s_types =
    [
        (ScalarType.Float32, "F32", sizeof(float)),
        (ScalarType.BFloat16, "BF16", sizeof(ushort)),
        (ScalarType.Float16, "F16", sizeof(ushort)),
        (ScalarType.Float64, "F64", sizeof(double)),
        (ScalarType.Int32, "I32", sizeof(int)),
    ];

    /// <summary>Whether a file can have tensors of a dtype.</summary>
    public static bool Has(ScalarType type) => Array.Exists(s_types, known => known.Type == type);

    /// <summary>The format's name of a dtype that it has.</summary>
    public static string NameOf(ScalarType type) => Find(type).Name;

    /// <summary>Bytes of one element of a dtype that it has.</summary>
    public static int SizeOf(ScalarType type) => Find(type).Bytes;

    /// <summary>Writes contiguous tensors in host memory.</summary>
    /// <param name="file">Where to.</param>
    /// <param name="tensors">The tensors and their names, each of which is there once.</param>
    /// <param name="metadata">Texts for the header, by name; null for none.</param>
    public static unsafe void Write(
        Stream file, IReadOnlyList<(string Name, Tensor Tensor)> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        var header = new JsonObject();
        if (metadata is not null)
        {
            header.Add(Metadata, new JsonObject(metadata.Select(text => KeyValuePair.Create(text.Key, (JsonNode?)JsonValue.Create(text.Value)))));
        }

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
    public static Dictionary<string, SafeTensor> ReadHeader(FileStream file) => ReadHeader(file, []);

    /// <summary>The same, with the header's texts.</summary>
    /// <param name="file">The file.</param>
    /// <param name="metadata">Where the texts go, by name.</param>
    public static Dictionary<string, SafeTensor> ReadHeader(FileStream file, Dictionary<string, string> metadata)
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
                if (entry.NameEquals(Metadata))
                {
                    foreach (JsonProperty text in entry.Value.EnumerateObject())
                    {
                        metadata.Add(text.Name, text.Value.GetString() ?? throw new InvalidDataException($"no text \"{text.Name}\""));
                    }
                }
                else
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

    /// <summary>
    /// Throws unless the tensors follow each other from the header to the end of the file, as the format asks: overlapping ones would be read
    /// as if nothing was wrong, and what lies in a gap is nobody's. The cache has checksums instead.
    /// </summary>
    /// <exception cref="InvalidDataException">They overlap, or there is a gap.</exception>
    public static void CheckLayout(FileStream file, IEnumerable<KeyValuePair<string, SafeTensor>> tensors)
    {
        Span<byte> length = stackalloc byte[LengthBytes];
        ReadFully(file, length, 0);
        long end = LengthBytes + BinaryPrimitives.ReadInt64LittleEndian(length);
        string before = "the header";
        foreach ((string name, SafeTensor tensor) in tensors.OrderBy(entry => entry.Value.Offset).ThenBy(entry => entry.Value.Bytes))
        {
            if (tensor.Offset != end)
            {
                string how = tensor.Offset < end ? "overlaps" : "leaves a gap behind";
                throw Damaged.File(file.Name, $"\"{name}\" begins at byte {tensor.Offset} and {how} {before}, which ends at {end}");
            }

            end += tensor.Bytes;
            before = $"\"{name}\"";
        }

        if (end != file.Length)
        {
            throw Damaged.File(file.Name, $"it has {file.Length} bytes, and {before} ends at {end}");
        }
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
        string? dtype = entry.GetProperty("dtype").GetString();
        int known = Array.FindIndex(s_types, candidate => candidate.Name == dtype);
        if (known < 0)
        {
            throw new InvalidDataException($"its dtype is {dtype}, where {string.Join(", ", s_types.Select(type => type.Name))} are known");
        }

        ScalarType type = s_types[known].Type;
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

    private static (ScalarType Type, string Name, int Bytes) Find(ScalarType type) => Array.Find(s_types, known => known.Type == type);

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
