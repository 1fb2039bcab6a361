using FineTune.Checkpoint;
using FineTune.Tests.Checkpoint;
using FineTune.Transformer;
using TorchSharp;
using static TorchSharp.torch;

namespace FineTune.Tests.Transformer;

/// <summary>The decoder against the double-precision one, in each of the ways in which a text can go through it.</summary>
public class DecoderTests : OutputDirectory
{
    private static readonly int[] s_text = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 3];
    private static readonly int[] s_other = [36, 1, 0, 20, 20];

    private DisposeScope scope = null!;

    private static IEnumerable<string> Names => TinyCheckpoint.Configs.Keys;

    [SetUp]
    public void OpenScope() => scope = NewDisposeScope();

    [TearDown]
    public void CloseScope() => scope.Dispose();

    [Test]
    public void LogitsAreThoseOfTheExactModel([ValueSource(nameof(Names))] string name)
    {
        TinyCheckpoint.Make(Output, name);
        Decoder model = CheckpointReader.Load(Output);
        using var noGrad = no_grad();
        AssertLogits(model.forward(Tokens(s_text)), new ExactDecoder(Output).Logits(s_text), 2e-5);
    }

    /// <summary>bfloat16 weights: the exact model has the same ones, so that what differs is the rounding on the way.</summary>
    [Test]
    public void RoundedWeightsGiveLogitsNearTheExactModels([ValueSource(nameof(Names))] string name)
    {
        TinyCheckpoint.Make(Output, name, ScalarType.BFloat16);
        using var noGrad = no_grad();
        double[][] exact = new ExactDecoder(Output).Logits(s_text);
        Decoder rounded = CheckpointReader.Load(Output);
        Assert.That(rounded.Type, Is.EqualTo(ScalarType.BFloat16));
        AssertLogits(rounded.forward(Tokens(s_text)).to(ScalarType.Float32), exact, 0.15);
        AssertLogits(CheckpointReader.Load(Output, ScalarType.Float32).forward(Tokens(s_text)), exact, 2e-5);
    }

    [Test]
    public void PackedTextsDoNotSeeEachOther([ValueSource(nameof(Names))] string name)
    {
        TinyCheckpoint.Make(Output, name);
        Decoder model = CheckpointReader.Load(Output);
        using var noGrad = no_grad();
        int[] tokens = [.. s_text, .. s_other, 0, 0];
        long[] positions = [.. Enumerable.Range(0, s_text.Length), .. Enumerable.Range(0, s_other.Length), 0, 0];
        long[] segments = [.. s_text.Select(_ => 0), .. s_other.Select(_ => 1), -1, -1];
        Tensor weight = model.HeadWeight;
        var layout = SequenceLayout.Packed(model.Config, tensor(positions).unsqueeze(0), tensor(segments).unsqueeze(0), weight);
        Tensor logits = nn.functional.linear(model.Hidden(Tokens(tokens), layout), weight);

        var exact = new ExactDecoder(Output);
        AssertLogits(logits.narrow(1, 0, s_text.Length), exact.Logits(s_text), 2e-5);
        AssertLogits(logits.narrow(1, s_text.Length, s_other.Length), exact.Logits(s_other), 2e-5);
    }

    [Test]
    public void OneTokenAtATimeGivesTheSame([ValueSource(nameof(Names))] string name)
    {
        TinyCheckpoint.Make(Output, name);
        Decoder model = CheckpointReader.Load(Output);
        using var noGrad = no_grad();
        using var cache = new KeyValues(model.Config.Layers);
        Tensor weight = model.HeadWeight;
        var parts = new List<Tensor>();
        foreach (int[] part in new[] { s_text[..5], s_text[5..6], s_text[6..7], s_text[7..8] })
        {
            var layout = SequenceLayout.Plain(model.Config, cache.Length, part.Length, weight);
            parts.Add(nn.functional.linear(model.Hidden(Tokens(part), layout, cache), weight));
        }

        AssertLogits(cat(parts, 1), new ExactDecoder(Output).Logits(s_text[..8]), 2e-5);
    }

    [Test]
    public void AnAnswerIsTheLikeliestTokenEachTime()
    {
        TinyCheckpoint.Make(Output, "qwen2");
        var exact = new ExactDecoder(Output);
        var expected = new List<int>();
        for (int i = 0; i < 5; i++)
        {
            double[] last = exact.Logits([.. s_text, .. expected])[^1];
            expected.Add(Array.IndexOf(last, last.Max()));
        }

        Decoder model = CheckpointReader.Load(Output);
        Assert.That(TextGenerator.Answer(model, s_text, longest: 5, new HashSet<int>()), Is.EqualTo(expected));
        int end = expected[3];
        Assert.That(TextGenerator.Answer(model, s_text, longest: 5, new HashSet<int> { end }), Is.EqualTo(expected.TakeWhile(token => token != end)));
    }

    private static Tensor Tokens(int[] tokens) => tensor(Array.ConvertAll(tokens, token => (long)token)).unsqueeze(0);

    private static void AssertLogits(Tensor logits, double[][] exact, double tolerance)
    {
        float[] computed = [.. logits.contiguous().data<float>()];
        double[] wanted = [.. exact.SelectMany(row => row)];
        Assert.That(computed, Has.Length.EqualTo(wanted.Length));
        Assert.That(wanted.Max(Math.Abs), Is.GreaterThan(0.5), "there is something to compare");
        Assert.That(computed.Zip(wanted, (a, b) => Math.Abs(a - b)).Max(), Is.LessThan(tolerance));
    }
}
