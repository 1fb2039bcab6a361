using FineTune.Model;
using FineTune.Problems;
using FineTune.Training;
using TorchSharp;

namespace FineTune.Tests;

/// <summary>Damage in a cache of hidden states is found before a model is trained that would need it.</summary>
public class CachedReferenceTests : OutputDirectory
{
    private const int Width = 8;

    private static readonly Example[] s_examples = [new("1+1", "2"), new("2+2", "4"), new("3+4", "7")];

    private string Cache => Directory.GetDirectories(Output).Single();

    [SetUp]
    public void MakeCache()
    {
        using DisposeScope scope = torch.NewDisposeScope();
        using var model = new LanguageModel(new ModelShape(ByteTokenizer.Vocabulary, ByteTokenizer.Context, Layers: 1, Width, Heads: 2));
        using var cache = new CachedReference(Output, model, s_examples);
    }

    [Test]
    public void AWholeCachePasses() => Assert.DoesNotThrow(Check);

    [Test]
    public void ACacheOfOtherExamplesIsNotLookedAt()
    {
        File.WriteAllText(Path.Combine(Cache, "index.json"), "{");
        Assert.DoesNotThrow(() => CachedReference.CheckExisting(Output, Width, s_examples[..2]));
    }

    [TestCase("{")]
    [TestCase("{}")]
    [TestCase("[]")]
    [TestCase("""{"model": null, "head": null, "dataSet": null}""")]
    [TestCase("""{"model": "m", "head": "h", "dataSet": "d"}""")]
    public void ADamagedIndexIsFound(string index)
    {
        File.WriteAllText(Path.Combine(Cache, "index.json"), index);
        Assert.That(Check, Throws.InstanceOf<InvalidDataException>().With.Message.Contains("index"));
    }

    [Test]
    public void ADamagedStateIsFound()
    {
        string states = Directory.GetFiles(Cache, "*.safetensors").Single();
        byte[] bytes = File.ReadAllBytes(states);
        bytes[^1] ^= 1;
        File.WriteAllBytes(states, bytes);
        Assert.That(Check, Throws.InstanceOf<InvalidDataException>().With.Message.Contains("damaged"));
    }

    [Test]
    public void ACacheThatWasInterruptedPasses()
    {
        string index = Path.Combine(Cache, "index.json");
        string text = File.ReadAllText(index);
        File.WriteAllText(index, text[..text.IndexOf('[', StringComparison.Ordinal)] + "[]}");
        Assert.DoesNotThrow(Check);
    }

    private void Check() => CachedReference.CheckExisting(Output, Width, s_examples);
}
