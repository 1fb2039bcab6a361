using FineTune.Text;

namespace FineTune.Tests.Text;

/// <summary>What is said of a checkpoint's tokenizer.</summary>
public class TokenizerCheckTests : OutputDirectory
{
    [Test]
    public void ATextIsShownAsTokens()
    {
        SmallTokenizer.Write(Output, ["h e"]);
        Assert.That(Check("he<|end|>"), Is.EqualTo(
            """
            The tokenizer is supported: 1003 tokens.
            A response ends with 1001 (<|end|>).
            There is no chat template: a prompt and its response stand one behind the other.
            "he<|end|>" is 2 tokens:
            256 1001
            "he" "<|end|>"
            They decode to the same text.

            """));
    }

    [Test]
    public void ATemplateIsShown()
    {
        SmallTokenizer.Write(Output, []);
        File.WriteAllText(PathOf("tokenizer_config.json"), """{"chat_template": "[{{ messages[0].content }}]\n"}""");
        Assert.That(Check(null), Does.Contain("names no token that ends a response").And.Contain("""begins "[Hello]"."""));
    }

    [Test]
    public void WhatIsNotSupportedIsSaid()
    {
        SmallTokenizer.Write(Output, [], file => file["model"]!["type"] = "Unigram");
        Assert.That(() => Check(null), Throws.InstanceOf<UserErrorException>().With.Message.Contains("model.type \"Unigram\" is not supported"));
    }

    private string Check(string? text)
    {
        using var output = new StringWriter { NewLine = "\n" };
        TokenizerCheck.Write(output, Output, text);
        return output.ToString();
    }
}
