using System.Text;
using System.Text.Json.Nodes;
using FineTune.Text;

namespace FineTune.Tests.Text;

/// <summary>A tokenizer small enough to say by hand what it must give, and the kinds that are refused.</summary>
public class TokenizerTests : OutputDirectory
{
    private const int M = SmallTokenizer.FirstMerge;

    private static readonly string[] s_merges = ["h e", "l l", "he ll", "Ġ w", "o r", "hell o", "Ġw or"];

    [TestCase("hello", new[] { M + 5 })]
    [TestCase("hell", new[] { M + 2 })]
    [TestCase("hel", new[] { M, 'l' })]
    [TestCase("hello world", new[] { M + 5, M + 6, 'l', 'd' })]
    [TestCase("he  wor", new[] { M, ' ', M + 6 })]
    [TestCase("12345", new[] { (int)'1', '2', '3', '4', '5' })]
    [TestCase("", new int[0])]
    [TestCase("<|begin|>hello<|end|>", new[] { SmallTokenizer.Begin, M + 5, SmallTokenizer.End })]
    [TestCase("<|end|><|end|>!<|en", new[] { SmallTokenizer.End, SmallTokenizer.End + 1, '<', '|', 'e', 'n' })]
    public void TokensAreThese(string text, int[] tokens)
    {
        Tokenizer tokenizer = Load();
        Assert.That(tokenizer.Encode(text), Is.EqualTo(tokens));
        Assert.That(tokenizer.Decode(tokens), Is.EqualTo(text));
    }

    [Test]
    public void TextsComeBack()
    {
        Tokenizer tokenizer = Load();
        var random = new Random(1);
        for (int round = 0; round < 200; round++)
        {
            string text = AdversarialText.Next(random, ["<|begin|>", "<|end|>"]);
            Assert.That(tokenizer.Decode(tokenizer.Encode(text)), Is.EqualTo(text));
        }
    }

    [Test]
    public void HalfASurrogatePairIsAReplacementCharacter() =>
        Assert.That(Load().Encode("a\ud835b"), Is.EqualTo(Load().Encode("a\uFFFDb")));

    [Test]
    public void NumbersAndNamesAreRead()
    {
        Tokenizer tokenizer = Load();
        Assert.That((tokenizer.VocabularySize, tokenizer.EndOfText), Is.EqualTo((SmallTokenizer.End + 2, (int?)SmallTokenizer.End)));
        Assert.That(tokenizer.Prefix, Is.Empty);
    }

    /// <summary>Letters beyond the basic plane are letters: were they seen as surrogates, the space would go with the word.</summary>
    [Test]
    public void AstralLettersAreOneWordWithWhatStandsBeforeThem()
    {
        // U+1D5D4, a mathematical sans-serif A, is F0 9D 97 94 in UTF-8.
        byte[] letter = Encoding.UTF8.GetBytes("\U0001D5D4");
        string last = ByteAlphabet.Letter(letter[^1]).ToString();
        Tokenizer tokenizer = Load(merges: [$"{last} a"]);
        Assert.That(
            tokenizer.Encode("\U0001D5D4a"), Is.EqualTo(new[] { (int)letter[0], letter[1], letter[2], M }), "the pair across both letters is joined");
        tokenizer = Load(merges: [$"{ByteAlphabet.Letter(0x80)} a"]);
        Assert.That(tokenizer.Encode("\U0001F600a"), Has.Length.EqualTo(4), "one emoji goes with the word");
        Assert.That(tokenizer.Encode("\U0001F600\U0001F600a"), Has.Length.EqualTo(9), "two are a piece of their own");
    }

    [Test]
    public void NfcIsAskedForOrNot([Values] bool asked)
    {
        Tokenizer tokenizer = Load(file => file["normalizer"] = asked ? new JsonObject { ["type"] = "NFC" } : null);
        Assert.That(tokenizer.Decode(tokenizer.Encode("e\u0301")), Is.EqualTo(asked ? "\u00E9" : "e\u0301"));
    }

    [Test]
    public void AWholePieceIsATokenWithIgnoreMerges()
    {
        Tokenizer tokenizer = Load(file => UnlistedToken(file, "abcd"), merges: ["a b", "h e"]);
        Assert.That(tokenizer.Encode("abcd"), Is.EqualTo(new[] { 500 }));
        Assert.That(tokenizer.Encode(" abcd"), Is.EqualTo(new[] { ' ', M, 'c', 'd' }));
    }

    /// <summary>tiktoken would join "ab" and "c" within a longer piece, and the file has no such pair.</summary>
    [Test]
    public void ATokenThatRanksWouldGiveAndPairsWouldNotIsRefused()
    {
        SmallTokenizer.Write(Output, ["a b", "h e"], file => UnlistedToken(file, "abc"));
        AssertRefused("model.merges does not lead to the token 'abc'");
    }

    [Test]
    public void MergesMayBeArraysAndATokenMayHaveSeveral()
    {
        Tokenizer tokenizer = Load(
            file => file["model"]!["merges"] = new JsonArray(Pair("a", "a"), Pair("aa", "a"), Pair("a", "aa"), Pair("aa", "aa")),
            merges: ["a a", "aa a", "aa aa"]);
        Assert.That(tokenizer.Encode("aaaaaaa"), Is.EqualTo(new[] { M + 2, M + 1 }));

        static JsonArray Pair(string left, string right) => new(left, right);
    }

    [Test]
    public void ATemplatePutsTokensBeforeTheText()
    {
        var template = JsonNode.Parse("""
            {"type": "Sequence", "processors": [{"type": "ByteLevel"},
             {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|begin|>"}}, {"Sequence": {"id": "A"}}]}]}
            """);
        Tokenizer tokenizer = Load(file => file["post_processor"] = template);
        Assert.That(tokenizer.Prefix, Is.EqualTo(new[] { SmallTokenizer.Begin }));
        Assert.That(tokenizer.Encode("he"), Is.EqualTo(new[] { M }));
    }

    [TestCase("model.type \"WordPiece\" is not supported", "model", "type", "\"WordPiece\"")]
    [TestCase("model.byte_fallback true is not supported", "model", "byte_fallback", "true")]
    [TestCase("model.dropout 0.1 is not supported", "model", "dropout", "0.1")]
    [TestCase("model.end_of_word_suffix \"w\" is not supported", "model", "end_of_word_suffix", "\"w\"")]
    [TestCase("there is no part named 'vocab'", "model", "vocab", "null")]
    [TestCase("merge 1 of model.merges has 3 parts", "model", "merges", """["h e", "l l l"]""")]
    [TestCase("merge 0 of model.merges, 'x y', gives no token of model.vocab", "model", "merges", """["x y"]""")]
    [TestCase("model.merges does not lead to the token 'hell'", "model", "merges", """["h e", "l l", "hel l"]""")]
    [TestCase("has a part of an unexpected type", "model", "vocab", """{"a": "b"}""")]
    [TestCase("model.vocab has no token for the byte 0x00", "model", "vocab", """{"a": 1}""")]
    [TestCase("normalizer \"NFKC\" is not supported", "normalizer", "type", "\"NFKC\"")]
    [TestCase("decoder \"Metaspace\" is not supported", "decoder", "type", "\"Metaspace\"")]
    [TestCase("pre_tokenizer \"Metaspace\" is not supported", "pre_tokenizer", "type", "\"Metaspace\"")]
    [TestCase("pre_tokenizer without ByteLevel is not supported", "pre_tokenizer", "pretokenizers", "[]")]
    [TestCase(
        "the pattern a++ is not supported", "pre_tokenizer", "pretokenizers", """[{"type": "Split", "pattern": {"Regex": "a++"}, "behavior": "Isolated"}, {"type": "ByteLevel", "add_prefix_space": false}]""")]
    [TestCase(
        "behavior \"Removed\" is not supported", "pre_tokenizer", "pretokenizers", """[{"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Removed"}]""")]
    [TestCase("add_prefix_space true is not supported", "pre_tokenizer", "pretokenizers", """[{"type": "ByteLevel", "add_prefix_space": true}]""")]
    [TestCase("post_processor \"BertProcessing\" is not supported", "post_processor", "type", "\"BertProcessing\"")]
    public void WhatIsNotSupportedIsNamed(string message, string part, string name, string value)
    {
        SmallTokenizer.Write(Output, s_merges, file =>
        {
            file[part] ??= new JsonObject();
            file[part]![name] = JsonNode.Parse(value);
        });
        AssertRefused(message);
    }

    [TestCase("lstrip")]
    [TestCase("rstrip")]
    [TestCase("single_word")]
    public void AnAddedTokenOfAnotherKindIsNamed(string flag)
    {
        SmallTokenizer.Write(Output, s_merges, file => file["added_tokens"]![1]![flag] = true);
        AssertRefused($"added_tokens, '<|end|>': {flag} true is not supported");
    }

    [Test]
    public void AnEndThatIsNoTokenIsNamed()
    {
        SmallTokenizer.Write(Output, s_merges);
        File.WriteAllText(PathOf("tokenizer_config.json"), """{"eos_token": "</s>"}""");
        AssertRefused("there is no token '</s>', which is eos_token");
    }

    [Test]
    public void FilesThatCannotBeReadAreNamed()
    {
        AssertRefused("tokenizer.json");
        File.WriteAllText(PathOf("tokenizer.json"), "{");
        AssertRefused("is not valid JSON");
    }

    private static void UnlistedToken(JsonObject file, string token)
    {
        file["model"]!["ignore_merges"] = true;
        file["model"]!["vocab"]![token] = 500;
    }

    private static void AssertIsLoadError(Action load, string message) =>
        Assert.That(() => load(), Throws.InstanceOf<UserErrorException>().With.Message.Contains(message));

    private void AssertRefused(string message) => AssertIsLoadError(() => Tokenizer.Load(Output), message);

    private Tokenizer Load(Action<JsonObject>? change = null, string[]? merges = null)
    {
        SmallTokenizer.Write(Output, merges ?? s_merges, change);
        return Tokenizer.Load(Output);
    }
}
