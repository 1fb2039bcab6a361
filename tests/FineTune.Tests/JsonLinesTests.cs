using System.Text;
using FineTune.Problems;

namespace FineTune.Tests;

/// <summary>What is read of a file of JSON lines, and what is refused, with the number of the line.</summary>
public class JsonLinesTests : OutputDirectory
{
    private const string Good = """{"prompt": "1+1", "response": "2"}""";

    [TestCase(Good)]
    [TestCase(Good + "\n")]
    [TestCase("\uFEFF" + Good + "\r\n")]
    [TestCase("\n \t\r\n" + Good + "\n\n")]
    [TestCase("""{"response": "2", "source": {"page": 1}, "prompt": "1+1"}""")]
    public void OneExample(string text) => Assert.That(Read(Encoding.UTF8.GetBytes(text)), Is.EqualTo(new[] { new Example("1+1", "2") }));

    [Test]
    public void TextsKeepTheirCharacters() => Assert.That(
        Read("{\"prompt\": \"é\\u00e9\", \"response\": \"a\\nb\"}\n{\"prompt\": \"日\", \"response\": \"😀\"}"u8),
        Is.EqualTo(new[] { new Example("éé", "a\nb"), new Example("日", "😀") }));

    [TestCase("{", "line 3: this is not a line of valid JSON")]
    [TestCase("[1]", "line 3: there is no text named \"prompt\"")]
    [TestCase("""{"prompt": 1, "response": "2"}""", "line 3: there is no text named \"prompt\"")]
    [TestCase("""{"prompt": "1"}""", "line 3: there is no text named \"response\"")]
    [TestCase("""{"prompt": "1", "response": ""}""", "line 3: the response is empty")]
    [TestCase("""{"prompt": "\ud800", "response": "2"}""", "line 3: this is not a line of valid JSON")]
    [TestCase("""{"prompt": "éé", "response": "01234567"}""", "line 3: prompt and response take 12 bytes, and the model reads no more than 8")]
    public void ABadLineIsNamed(string line, string message) =>
        AssertRefused(Encoding.UTF8.GetBytes($"{Good}\n\n{line}\n{Good}"), message);

    /// <summary>A replacement character would be learned as if it had been written.</summary>
    [Test]
    public void BytesThatAreNotUtf8AreRefused() =>
        AssertRefused([.. Encoding.UTF8.GetBytes(Good + "\n"), .. Encoding.Latin1.GetBytes("""{"prompt": "é", "response": "2"}""")], "line 2: these bytes are not UTF-8");

    [Test]
    public void ALineMayHaveAsManyBytesAsIsSaid([Values] bool oneMore)
    {
        string line = Good.PadRight(Utf8Lines.LongestLine + (oneMore ? 1 : 0));
        byte[] file = Encoding.UTF8.GetBytes($"{Good}\n{line}\n{Good}");
        if (oneMore)
        {
            AssertRefused(file, "line 2: the line has more than 1048576 bytes");
        }
        else
        {
            Assert.That(Read(file), Has.Length.EqualTo(3));
        }
    }

    /// <summary>300 MB without the end of a line: the message comes after one of them is read.</summary>
    [Test]
    public void AHugeLineTakesLittleMemory()
    {
        using (var file = new FileStream(PathOf("data.jsonl"), FileMode.Create))
        {
            file.SetLength(300_000_000);
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        AssertRefused(PathOf("data.jsonl"), "line 1: the line has more than");
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(4 * Utf8Lines.LongestLine));
    }

    [Test]
    public void WhatIsNoFileIsRefused()
    {
        AssertRefused(Output, $"'{Output}' is a directory");
        AssertRefused(PathOf("missing.jsonl"), "missing.jsonl");
    }

    private Example[] Read(ReadOnlySpan<byte> contents)
    {
        File.WriteAllBytes(PathOf("data.jsonl"), contents);
        return JsonLines.Read(PathOf("data.jsonl"), context: 10);
    }

    private void AssertRefused(byte[] contents, string message)
    {
        File.WriteAllBytes(PathOf("data.jsonl"), contents);
        AssertRefused(PathOf("data.jsonl"), message);
    }

    private static void AssertRefused(string path, string message) => Assert.That(
        () => JsonLines.Read(path, context: 10), Throws.InstanceOf<UserErrorException>().With.Message.Contains(message));
}
