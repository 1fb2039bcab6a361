using System.Reflection;
using System.Text.Json;
using Jint;
using Jint.Native;
using Jint.Native.Object;
using Jint.Runtime;

namespace FineTune.Text;

/// <summary>
/// A checkpoint's chat template, which writes the messages of a conversation as one text. Templates are in Jinja's language; the
/// interpreter is Hugging Face's own for JavaScript.
/// </summary>
internal sealed class ChatTemplate : IDisposable
{
    private const string Interpreter = "huggingface-jinja.js";
    private const string ParseTemplate = "template => { const parsed = new Template(template); return (variables) => parsed.render(JSON.parse(variables)); }";

    private static readonly TimeSpan s_longestRendering = TimeSpan.FromSeconds(20);

    private readonly Engine engine = new(options => options.TimeoutInterval(s_longestRendering));
    private readonly JsValue render;
    private readonly TokenizerConfig config;

    /// <param name="template">The template.</param>
    /// <param name="config">Names the tokens that the template may ask for.</param>
    /// <exception cref="UserErrorException">It is no template.</exception>
    public ChatTemplate(string template, TokenizerConfig config)
    {
        this.config = config;
        using var source = new StreamReader(Assembly.GetExecutingAssembly().GetManifestResourceStream(Interpreter)!);
        engine.Modules.Add("jinja", source.ReadToEnd());
        engine.Modules.Add("asft", $"import {{ Template }} from 'jinja'; export const parse = {ParseTemplate};");
        ObjectInstance module = engine.Modules.Import("asft");
        render = Try(() => engine.Invoke(module.Get("parse"), template));
    }

    /// <summary>The template of a checkpoint; null if it has none.</summary>
    /// <param name="checkpointFolder">The folder with <c>tokenizer_config.json</c>, or <c>chat_template.jinja</c>.</param>
    /// <exception cref="UserErrorException">A file cannot be read, or has no valid template.</exception>
    public static ChatTemplate? Load(string checkpointFolder)
    {
        TokenizerConfig config = TokenizerConfig.Load(checkpointFolder);
        return config.ChatTemplate is null ? null : new ChatTemplate(config.ChatTemplate, config);
    }

    /// <summary>Writes messages as the model reads them.</summary>
    /// <param name="messages">A JSON array of objects with <c>role</c> and <c>content</c>, and whatever else the template looks at.</param>
    /// <param name="addGenerationPrompt">Whether to end where the assistant's answer begins.</param>
    /// <exception cref="UserErrorException">The template refuses the messages, or takes too long over them.</exception>
    public string Render(string messages, bool addGenerationPrompt)
    {
        string variables = $$"""
            {"messages": {{messages}}, "add_generation_prompt": {{(addGenerationPrompt ? "true" : "false")}},
             "bos_token": {{JsonSerializer.Serialize(config.BeginOfText ?? "")}}, "eos_token": {{JsonSerializer.Serialize(config.EndOfText ?? "")}}}
            """;
        return Try(() => engine.Invoke(render, variables)).AsString();
    }

    public void Dispose() => engine.Dispose();

    private static JsValue Try(Func<JsValue> work)
    {
        try
        {
            return work();
        }
        catch (JavaScriptException error)
        {
            throw new UserErrorException($"the chat template: {error.Message}");
        }
        catch (TimeoutException)
        {
            throw new UserErrorException($"the chat template takes more than {s_longestRendering.TotalSeconds:F0} s.");
        }
    }
}
