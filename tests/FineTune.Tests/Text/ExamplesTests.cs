using FineTune.Text;

namespace FineTune.Tests.Text;

/// <summary>What a file of prompts and responses, or of conversations, becomes; and which lines are refused, with their number.</summary>
public class ExamplesTests : OutputDirectory
{
    private const int End = SmallTokenizer.End;
    private const string Template =
        "{% for m in messages %}{{ m.role[0] + ':' + m.content + '|' }}{% endfor %}{% if add_generation_prompt %}a:{% endif %}";

    [SetUp]
    public void MakeTokenizer() => SmallTokenizer.Write(Output, ["a b"]);

    [Test]
    public void APairIsThePromptTheResponseAndTheEnd()
    {
        TokenizedExample[] examples = Read("""{"prompt": "xab", "response": "y"}""" + "\n\n" + """{"prompt": "", "response": "<|end|>"}""", out ExamplesReport report);
        Assert.That(examples[0].Tokens, Is.EqualTo(new[] { 'x', SmallTokenizer.FirstMerge, 'y', End }));
        Assert.That(examples[1].Tokens, Is.EqualTo(new[] { End, End }));
        Assert.That(examples.Select(example => example.PromptLength), Is.EqualTo(new[] { 2, 0 }));
        Assert.That(report, Is.EqualTo(new ExamplesReport(Lines: 2, Truncated: 0, Dropped: 0, TokensCut: 0, Tokens: 6, Labels: 4)));
    }

    /// <summary>The model answers to the prompt's tokens, so no token may reach across.</summary>
    [Test]
    public void NoTokenCoversTheEndOfThePromptAndTheBeginOfTheResponse() => Assert.That(
        Read("""{"prompt": "a", "response": "b"}""", out _)[0].Tokens, Is.EqualTo(new[] { 'a', 'b', End }));

    [Test]
    public void WhatIsTooLongIsCutAndCounted()
    {
        TokenizedExample[] examples = Read(
            """
            {"prompt": "x", "response": "12345"}
            {"prompt": "xxxx", "response": "1"}
            {"prompt": "x", "response": "12"}
            """,
            out ExamplesReport report,
            maximumLength: 4);
        Assert.That(examples.Select(example => example.Tokens.Length), Is.EqualTo(new[] { 4, 4 }));
        Assert.That(report, Is.EqualTo(new ExamplesReport(Lines: 3, Truncated: 1, Dropped: 1, TokensCut: 3, Tokens: 8, Labels: 6)));
        Assert.That(
            report.ToString(),
            Is.EqualTo("2 examples of 8 tokens, 6 of them labels. 1 were truncated, and lost 3 tokens. 1 were left out: no room for a response."));
    }

    [Test]
    public void AConversationEndsWithItsResponse()
    {
        TokenizedExample[] examples = Read(
            """
            {"messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "q"}, {"role": "user", "content": "r"}, {"role": "assistant", "content": "s"}]}
            {"prompt": "p\"", "response": "q"}
            """,
            out _,
            Template);
        Assert.That(Texts(examples[0]), Is.EqualTo(("u:p|a:q|u:r|a:", "s|")));
        Assert.That(Texts(examples[1]), Is.EqualTo(("u:p\"|a:", "q|")));
    }

    [Test]
    public void APromptAloneHasTheTokensOfAnExamplesPrompt()
    {
        TokenizedExample example = Read("""{"prompt": "xab", "response": "y"}""", out _, Template)[0];
        using ChatTemplate template = new(Template, new TokenizerConfig(null, null, null));
        Assert.That(
            Examples.EncodePrompt("xab", Tokenizer.Load(Output), template), Is.EqualTo(example.Tokens[..example.PromptLength]));
        Assert.That(Examples.EncodePrompt("xab", Tokenizer.Load(Output), null), Is.EqualTo(new[] { 'x', SmallTokenizer.FirstMerge }));
    }

    [TestCase("{", "line 2: this is not a line of valid JSON")]
    [TestCase("[]", "line 2: there is no text named \"prompt\"")]
    [TestCase("""{"prompt": "1", "response": ""}""", "line 2: the response is empty")]
    [TestCase("""{"messages": []}""", "line 2: \"messages\" must end with a message of the assistant")]
    [TestCase("""{"messages": 1}""", "line 2: \"messages\" must end with a message of the assistant")]
    [TestCase("""{"messages": [{"role": "user", "content": "p"}]}""", "line 2: \"messages\" must end with a message of the assistant")]
    [TestCase("""{"messages": [{"role": "user"}]}""", "line 2: there is no text named \"content\"")]
    [TestCase("""{"messages": [{"content": "p"}]}""", "line 2: there is no text named \"role\"")]
    [TestCase("""{"messages": [1]}""", "line 2: there is no text named \"role\"")]
    [TestCase("""{"messages": [{"role": "assistant", "content": ""}]}""", "line 2: the response is empty")]
    [TestCase("""{"messages": [{"role": "assistant", "content": null}]}""", "line 2: the response is empty")]
    [TestCase("""{"messages": [{"role": "assistant", "content": "\ud800"}]}""", "line 2: this is not a line of valid JSON")]
    public void ABadLineIsNamed(string line, string message) =>
        AssertRefused($$"""{"prompt": "1", "response": "2"}""" + "\n" + line, message, Template);

    [Test]
    public void MessagesNeedATemplate() => AssertRefused(
        """{"messages": [{"role": "assistant", "content": "a"}]}""", "line 1: it has \"messages\", and the model has no chat template", template: null);

    [Test]
    public void ATemplateThatChangesThePromptAfterwardsIsRefused() => AssertRefused(
        """{"prompt": "1", "response": "2"}""",
        "line 1: the chat template does not write the conversation as the prompt and what follows it",
        "{{ messages | length }}");

    [Test]
    public void WhatATemplateRefusesIsNamed() =>
        AssertRefused("""{"prompt": "1", "response": "2"}""", "line 1: the chat template: no", "{{ raise_exception('no') }}");

    private (string Prompt, string Response) Texts(TokenizedExample example)
    {
        var tokenizer = Tokenizer.Load(Output);
        return (tokenizer.Decode(example.Tokens.AsSpan(0, example.PromptLength)), tokenizer.Decode(example.Tokens.AsSpan(example.PromptLength)));
    }

    private void AssertRefused(string lines, string message, string? template) => Assert.That(
        () => Read(lines, out _, template), Throws.InstanceOf<UserErrorException>().With.Message.Contains(message));

    private TokenizedExample[] Read(string lines, out ExamplesReport report, string? template = null, int maximumLength = 100)
    {
        File.WriteAllText(PathOf("data.jsonl"), lines);
        using ChatTemplate? chat = template is null ? null : new ChatTemplate(template, new TokenizerConfig(null, null, null));
        return Examples.Read(PathOf("data.jsonl"), Tokenizer.Load(Output), chat, maximumLength, out report);
    }
}
