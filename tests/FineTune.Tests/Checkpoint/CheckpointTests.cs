using System.Text.Json.Nodes;
using Asft.Interop;
using FineTune.Checkpoint;
using FineTune.Transformer;
using TorchSharp;
using static TorchSharp.torch;

namespace FineTune.Tests.Checkpoint;

/// <summary>Checkpoints, written and read; and what is said of one that is damaged or is another model's.</summary>
public class CheckpointTests : OutputDirectory
{
    private DisposeScope scope = null!;

    private static IEnumerable<string> Names => TinyCheckpoint.Configs.Keys;

    private string IndexPath => PathOf("model.safetensors.index.json");

    private string[] Shards => [.. Directory.GetFiles(Output, "*.safetensors").Order(StringComparer.Ordinal)];

    [SetUp]
    public void OpenScope() => scope = NewDisposeScope();

    [TearDown]
    public void CloseScope() => scope.Dispose();

    [Test]
    public void SeveralFilesAreOneModel([ValueSource(nameof(Names))] string name, [Values(ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16)] ScalarType type)
    {
        TinyCheckpoint.Make(Output, name, type);
        Decoder whole = CheckpointReader.Load(Output);
        string folder = PathOf("again");
        File.WriteAllText(PathOf("tokenizer.json"), "{}");
        CheckpointWriter.Write(folder, Output, whole, bytesOfShard: 2000);

        Assert.That(Directory.GetFiles(folder, "model-*.safetensors"), Has.Length.GreaterThan(3));
        Assert.That(File.ReadAllText(Path.Combine(folder, "tokenizer.json")), Is.EqualTo("{}"));
        Assert.That(
            JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "config.json")))!["torch_dtype"]!.GetValue<string>(), Is.EqualTo($"{type}".ToLowerInvariant()));
        Decoder again = CheckpointReader.Load(folder);
        Assert.That(again.Type, Is.EqualTo(type));
        foreach ((var first, var second) in whole.Weights.Zip(again.Weights))
        {
            Assert.That(second.Name, Is.EqualTo(first.Name));
            Assert.That(second.Parameter.eq(first.Parameter).all().item<bool>(), Is.True, first.Name);
        }
    }

    /// <summary>Names as the families' own checkpoints have them.</summary>
    [Test]
    public void TheNamesAreTheFamilys()
    {
        TinyCheckpoint.Make(Output, "qwen3");
        using var file = SafeTensorsFile.Open(PathOf("model.safetensors"));
        string[] layer =
        [
            "input_layernorm", "mlp.down_proj", "mlp.gate_proj", "mlp.up_proj", "post_attention_layernorm", "self_attn.k_norm", "self_attn.k_proj",
            "self_attn.o_proj", "self_attn.q_norm", "self_attn.q_proj", "self_attn.v_proj",
        ];
        Assert.That(file.Names.Order(StringComparer.Ordinal), Is.EqualTo(
            layer.SelectMany(part => new[] { $"model.layers.0.{part}.weight", $"model.layers.1.{part}.weight" })
                .Concat(["model.embed_tokens.weight", "model.norm.weight"]).Order(StringComparer.Ordinal)));
        Assert.That(file.Metadata["format"], Is.EqualTo("pt"));
    }

    [TestCase("../model-00001-of-00002.safetensors")]
    [TestCase("..\\\\model.safetensors")]
    [TestCase("/tmp/model.safetensors")]
    [TestCase("C:model.safetensors")]
    [TestCase("model.bin")]
    [TestCase("..")]
    [TestCase("")]
    public void AnIndexThatLeadsElsewhereIsRefused(string file)
    {
        Sharded();
        EditIndex(map => map["model.norm.weight"] = JsonNode.Parse($"\"{file}\""));
        AssertRefused("\"model.norm.weight\" must be in a .safetensors file of this directory");
    }

    [Test]
    public void AnIndexThatTheFilesDoNotFollowIsRefused()
    {
        Sharded();
        string norm = JsonNode.Parse(File.ReadAllText(IndexPath))!["weight_map"]!["model.norm.weight"]!.GetValue<string>();
        EditIndex(map => map.Remove("model.norm.weight"));
        AssertRefused($"{norm}' has a tensor \"model.norm.weight\", which model.safetensors.index.json does not say is in it");

        EditIndex(map => map["model.norm.weight"] = "model-00001-of-00002.safetensors");
        AssertRefused("model-00001-of-00002.safetensors' has no tensor \"model.norm.weight\", which model.safetensors.index.json says is in it");

        EditIndex(map => map["model.norm.weight"] = norm);
        EditIndex(map => map["model.other"] = "model-00009-of-00009.safetensors");
        Assert.That(() => CheckpointReader.Load(Output), Throws.InstanceOf<FileNotFoundException>().With.Message.Contains("model-00009-of-00009"));

        string text = File.ReadAllText(IndexPath);
        File.WriteAllText(IndexPath, text.Replace("\"weight_map\": {", "\"weight_map\": {\"model.norm.weight\": \"a.safetensors\",", StringComparison.Ordinal));
        AssertRefused("twice");
        File.WriteAllText(IndexPath, "{}");
        AssertRefused("\"weight_map\" must be an object, not missing");
        File.WriteAllText(IndexPath, text[..20]);
        AssertRefused("is no JSON object");
    }

    [Test]
    public void ATensorThatIsMissingOrTooManyOrOfAnotherShapeIsRefused()
    {
        TinyCheckpoint.Make(Output, "llama");
        (string Name, Tensor Tensor)[] weights = [.. CheckpointReader.Load(Output).Weights.Select(entry => (entry.Name, (Tensor)entry.Parameter))];
        Tensor norm = weights.Single(entry => entry.Name == "model.norm.weight").Tensor;
        (string, Tensor)[] others = [.. weights.Where(entry => entry.Name != "model.norm.weight")];

        SafeTensorsFile.Write(Shards[0], others);
        AssertRefused("has no tensor \"model.norm.weight\", which its config asks for");
        SafeTensorsFile.Write(Shards[0], [.. weights, ("model.norm.bias", norm)]);
        AssertRefused("has a tensor \"model.norm.bias\", which a model of its config does not have");
        SafeTensorsFile.Write(Shards[0], [.. others, ("model.norm.weight", norm[..1])]);
        AssertRefused("\"model.norm.weight\" has the shape [1], where [16] is wanted");
        SafeTensorsFile.Write(Shards[0], [.. others, ("model.norm.weight", norm.to(ScalarType.Int32))]);
        AssertRefused("\"model.norm.weight\" is of Int32, where Float32 is wanted");
        SafeTensorsFile.Write(Shards[0], [.. weights, ("model.layers.0.self_attn.rotary_emb.inv_freq", norm)]);
        Assert.That(() => CheckpointReader.Load(Output), Throws.Nothing);
    }

    [Test]
    public void AFileThatWasCutIsRefused()
    {
        TinyCheckpoint.Make(Output, "llama");
        byte[] bytes = File.ReadAllBytes(Shards[0]);
        File.WriteAllBytes(Shards[0], bytes[..^1]);
        AssertRefused("model.safetensors' is damaged");
    }

    [TestCase("\"model_type\": \"llama\"", "\"model_type\": \"gpt2\"", "\"model_type\" must be one of llama, qwen2, qwen3, not \"gpt2\"")]
    [TestCase("\"hidden_size\": 16", "\"hidden_size\": 0", "\"hidden_size\" must be a whole number above 0, not 0")]
    [TestCase("\"hidden_size\": 16", "\"hidden_size\": \"16\"", "\"hidden_size\" must be a whole number above 0, not \"16\"")]
    [TestCase("\"hidden_size\": 16,", "", "\"hidden_size\" must be a whole number above 0, not missing")]
    [TestCase("\"hidden_size\": 16", "\"hidden_size\": 12", "\"head_dim\" must be an even number; of 4 heads in 12 it is 3")]
    [TestCase("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "\"num_key_value_heads\" must be a divisor of the 4 attention heads, not 3")]
    [TestCase("\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "\"hidden_act\" must be \"silu\"")]
    [TestCase("llama3", "yarn", "\"rope_type\" must be one of default, linear, llama3, not \"yarn\"")]
    [TestCase("\"factor\": 4.0", "\"factor\": -4.0", "\"factor\" must be a number above 0, not -4.0")]
    [TestCase("\"high_freq_factor\": 4.0", "\"high_freq_factor\": 1", "\"high_freq_factor\" must be above \"low_freq_factor\"")]
    [TestCase("\"hidden_act\"", "\"use_sliding_window\": true, \"hidden_act\"", "\"use_sliding_window\" must be false")]
    [TestCase("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": 0", "\"tie_word_embeddings\" must be true or false, not 0")]
    [TestCase("{", "", "is no JSON object")]
    public void AConfigOfAnotherModelIsRefused(string from, string to, string says)
    {
        TinyCheckpoint.Make(Output, "llama");
        string original = TinyCheckpoint.Config("llama");
        int place = original.IndexOf(from, StringComparison.Ordinal);
        File.WriteAllText(PathOf("config.json"), original.Remove(place, from.Length).Insert(place, to));
        AssertRefused(says);
    }

    [Test]
    public void AFolderWithoutACheckpointIsRefused()
    {
        AssertRefused("config.json' is not there");
        File.WriteAllText(PathOf("config.json"), TinyCheckpoint.Config("llama"));
        File.WriteAllText(PathOf("pytorch_model.bin"), "");
        AssertRefused("has neither model.safetensors nor model.safetensors.index.json");
        Assert.That(() => CheckpointReader.Load(PathOf("none")), Throws.InstanceOf<UserErrorException>().With.Message.Contains("is no directory"));
    }

    private void Sharded() => TinyCheckpoint.Make(Output, "llama", bytesOfShard: 12_000);

    private void EditIndex(Action<JsonObject> edit)
    {
        JsonNode index = JsonNode.Parse(File.ReadAllText(IndexPath))!;
        edit(index["weight_map"]!.AsObject());
        File.WriteAllText(IndexPath, index.ToJsonString(ConfigFile.Indented));
    }

    private void AssertRefused(string says) => Assert.That(
        () => CheckpointReader.Load(Output),
        Throws.InstanceOf<UserErrorException>().Or.InstanceOf<InvalidDataException>().With.Message.Contains(says));
}
