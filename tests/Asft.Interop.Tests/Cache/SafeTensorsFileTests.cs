using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using static TorchSharp.torch;

namespace Asft.Interop.Tests.Cache;

/// <summary>Files of tensors: what is written is read again, in the format's own bytes, and what is damaged is named.</summary>
public class SafeTensorsFileTests : TorchTest
{
    private static readonly string[] s_inOrder = ["c", "a", "d", "b"];

    private string _folder = null!;

    private string File => Path.Combine(_folder, "model.safetensors");

    [SetUp]
    public void MakeDirectory() => _folder = Directory.CreateTempSubdirectory("asft-tensors-").FullName;

    [TearDown]
    public void DeleteDirectory() => Directory.Delete(_folder, recursive: true);

    [TestCase(ScalarType.Float64)]
    [TestCase(ScalarType.Float32)]
    [TestCase(ScalarType.Float16)]
    [TestCase(ScalarType.BFloat16)]
    [TestCase(ScalarType.Int32)]
    public void WhatIsWrittenIsRead(ScalarType type)
    {
        Tensor matrix = (randn(3, 5) * 100).to(type);
        SafeTensorsFile.Write(File, [("matrix", matrix.t()), ("scalar", matrix[1, 2]), ("none", empty([0, 4], type))]);
        using var file = SafeTensorsFile.Open(File);
        Assert.That(file.Names, Is.EquivalentTo(new[] { "matrix", "scalar", "none" }));
        Assert.That(file.TypeOf("matrix"), Is.EqualTo(type));
        Assert.That(file.ShapeOf("matrix"), Is.EqualTo(new long[] { 5, 3 }));

        Tensor same = zeros([5, 3], type);
        Tensor strided = zeros([3, 5], type).t();
        Tensor scalar = zeros([], type);
        file.Read("matrix", same);
        file.Read("matrix", strided);
        file.Read("scalar", scalar);
        file.Read("none", empty([0, 4], type));
        AssertEqual(same, matrix.t());
        AssertEqual(strided, matrix.t());
        AssertEqual(scalar, matrix[1, 2]);
        if (type != ScalarType.Int32)
        {
            Tensor other = zeros([5, 3], ScalarType.Float64);
            file.Read("matrix", other);
            AssertEqual(other, matrix.t().to(ScalarType.Float64));
        }
    }

    /// <summary>The bytes, looked at by other means: a header of a multiple of 8 bytes, and each tensor where its size divides.</summary>
    [Test]
    public void TheBytesAreTheFormats()
    {
        SafeTensorsFile.Write(
            File,
            [("a", tensor(new[] { 1, 2, 3 })), ("b", tensor(new[] { 1f }).to(ScalarType.BFloat16)), ("c", tensor(new[] { 0.5 })), ("d", tensor(new[] { 7 }))],
            new Dictionary<string, string> { ["format"] = "pt" });
        byte[] bytes = System.IO.File.ReadAllBytes(File);
        long header = BinaryPrimitives.ReadInt64LittleEndian(bytes);
        Assert.That(header % 8, Is.Zero);
        using var json = JsonDocument.Parse(bytes.AsMemory(8, (int)header));
        Assert.That(json.RootElement.GetProperty("__metadata__").GetProperty("format").GetString(), Is.EqualTo("pt"));
        Assert.That(json.RootElement.EnumerateObject().Skip(1).Select(entry => entry.Name), Is.EqualTo(s_inOrder));
        Assert.That(BitConverter.ToDouble(bytes, 8 + (int)header), Is.EqualTo(0.5));
        Assert.That(BitConverter.ToInt32(bytes, 8 + (int)header + 8 + 8), Is.EqualTo(3));
        Assert.That(bytes[^2..], Is.EqualTo(new byte[] { 0x80, 0x3F }));
        Assert.That(bytes, Has.Length.EqualTo(8 + header + 8 + 12 + 4 + 2));

        using var file = SafeTensorsFile.Open(File);
        Assert.That(file.Metadata["format"], Is.EqualTo("pt"));
    }

    [TestCase("a [0,8] b [4,12]", 12, "\"b\" begins at byte * and overlaps \"a\"")]
    [TestCase("a [0,8] b [0,8]", 8, "\"b\" begins at byte * and overlaps \"a\"")]
    [TestCase("a [0,8] b [12,20]", 20, "\"b\" begins at byte * and leaves a gap behind \"a\"")]
    [TestCase("a [4,12]", 12, "\"a\" begins at byte * and leaves a gap behind the header")]
    [TestCase("a [0,8]", 12, "\"a\" ends at")]
    [TestCase("a [0,8]", 4, "[0, 8] of 4")]
    [TestCase("a [-8,0]", 8, "[-8, 0]")]
    [TestCase("a [8,0]", 8, "[8, 0]")]
    [TestCase("a [0,8] a [8,16]", 16, "two entries \"a\"")]
    public void ALayoutThatTheFormatForbidsIsRefused(string tensors, int bytes, string says)
    {
        string[] words = tensors.Split(' ');
        string header = string.Join(",", words.Chunk(2).Select(entry => $"\"{entry[0]}\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{entry[1]}}}"));
        Put($"{{{header}}}", bytes);
        AssertRefused(says);
    }

    [TestCase("""{"__metadata__":3}""", "header")]
    [TestCase("""{"__metadata__":{"a":3}}""", "header")]
    [TestCase("""{"__metadata__":{"a":null}}""", "no text \"a\"")]
    [TestCase("""{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}""", "F8_E4M3, where F32, BF16, F16, F64, I32 are known")]
    [TestCase("not JSON", "header")]
    public void AHeaderThatIsNoneIsRefused(string header, string says)
    {
        Put(header, 0);
        AssertRefused(says);
    }

    /// <summary>A file that ends anywhere too early is never read as a whole one.</summary>
    [Test]
    public void AFileThatWasCutIsRefused()
    {
        SafeTensorsFile.Write(File, [("a", ones(2, 3)), ("b", ones(1))]);
        byte[] bytes = System.IO.File.ReadAllBytes(File);
        for (int length = 0; length < bytes.Length; length++)
        {
            System.IO.File.WriteAllBytes(File, bytes[..length]);
            Assert.Throws<InvalidDataException>(() => SafeTensorsFile.Open(File).Dispose(), $"{length} bytes");
        }
    }

    [Test]
    public void ATensorOfAnotherShapeOrKindIsRefused()
    {
        SafeTensorsFile.Write(File, [("a", ones(1, 3)), ("i", ones(2, dtype: ScalarType.Int32))]);
        using var file = SafeTensorsFile.Open(File);
        AssertRefused(() => file.Read("a", zeros(4, 3)), "\"a\" has the shape [1, 3], where [4, 3] is wanted");
        AssertRefused(() => file.Read("a", zeros(3)), "where [3] is wanted");
        AssertRefused(() => file.Read("i", zeros(2)), "is of Int32, where Float32 is wanted");
        AssertRefused(() => file.Read("b", zeros(2)), "it has no tensor \"b\"");
        AssertRefused(() => file.TypeOf("b"), "it has no tensor \"b\"");
    }

    [Test]
    public void WhatCannotBeWrittenLeavesTheOldFile()
    {
        SafeTensorsFile.Write(File, [("a", ones(2))]);
        Assert.Throws<ArgumentException>(() => SafeTensorsFile.Write(File, [("a", ones(2)), ("a", ones(2))]));
        Assert.Throws<ArgumentException>(() => SafeTensorsFile.Write(File, [("__metadata__", ones(2))]));
        Assert.Throws<ArgumentException>(() => SafeTensorsFile.Write(File, [("a", ones(2, dtype: ScalarType.Int64))]));
        Assert.Throws<DirectoryNotFoundException>(() => SafeTensorsFile.Write(Path.Combine(_folder, "none", "x"), [("a", ones(2))]));
        using var file = SafeTensorsFile.Open(File);
        Assert.That(file.Names, Is.EqualTo(new[] { "a" }));
    }

    private static void AssertEqual(Tensor actual, Tensor expected) => Assert.That(actual.eq(expected).all().item<bool>(), Is.True);

    private static void AssertRefused(Action action, string says) => Assert.That(
        Assert.Throws<InvalidDataException>(() => action())!.Message, Does.Contain("model.safetensors' is damaged: ").And.Contain(says));

    private void AssertRefused(string says)
    {
        string message = Assert.Throws<InvalidDataException>(() => SafeTensorsFile.Open(File).Dispose())!.Message;
        foreach (string part in says.Split('*', StringSplitOptions.TrimEntries))
        {
            Assert.That(message, Does.Contain("model.safetensors' is damaged: ").And.Contain(part));
        }
    }

    private void Put(string header, int bytes)
    {
        byte[] text = Encoding.UTF8.GetBytes(header);
        System.IO.File.WriteAllBytes(File, [.. BitConverter.GetBytes((long)text.Length), .. text, .. new byte[bytes]]);
    }
}
