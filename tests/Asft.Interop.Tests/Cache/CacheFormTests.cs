using System.Text.Json.Nodes;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop.Tests.Cache;

/// <summary>What the forms of a cache have for themselves, and what is refused in each.</summary>
public class CacheFormTests : CacheTest
{
    private static readonly ReferenceCacheForm s_hidden = ReferenceCacheForm.Hidden(Width);
    private static readonly ReferenceCacheForm s_labels = ReferenceCacheForm.LabelLogProbabilities;
    private static readonly ReferenceCacheForm s_topK = ReferenceCacheForm.TopK(Entries);

    /// <summary>-infinity, -0, subnormal numbers, quiet and signaling NaN with a payload, and common numbers.</summary>
    private static readonly uint[] s_bits =
        [0xFF80_0000, 0x8000_0000, 0x0000_0001, 0x807F_FFFF, 0x7FC1_2345, 0xFF81_2345, 0xC049_0FDB, 0xBF80_0000, 0x0000_0000];

    private static readonly ushort[] s_halfBits = [0xFF80, 0x8000, 0x0001, 0x807F, 0x7FC3, 0xFF83, 0xC049, 0xBF80, 0x0000];

    private static IEnumerable<TestCaseData> Sizes =>
    [
        new(s_hidden, ScalarType.BFloat16, 2 * Width, new[] { "hidden BF16 [2,6]" }),
        new(s_hidden, ScalarType.Float32, 4 * Width, new[] { "hidden F32 [2,6]" }),
        new(s_labels, ScalarType.BFloat16, 4L, new[] { "logProbabilities F32 [2]" }),
        new(s_labels, ScalarType.Float32, 4L, new[] { "logProbabilities F32 [2]" }),
        new(s_topK, ScalarType.BFloat16, 6L * Entries, new[] { "indices I32 [2,3]", "logProbabilities BF16 [2,3]" }),
        new(s_topK, ScalarType.Float32, 8L * Entries, new[] { "indices I32 [2,3]", "logProbabilities F32 [2,3]" }),
    ];

    /// <summary>Whatever they mean: nothing looks at them on the way to the disk and back.</summary>
    [Test]
    public void EveryBitIsKept([Values(Hidden, Labels, TopK)] string kept, [Values(ScalarType.Float32, ScalarType.BFloat16)] ScalarType type)
    {
        // Of labels, bfloat16 converts to float32 exactly; but that may turn a signaling NaN into a quiet one, so they are float32 here.
        Tensor numbers = type == ScalarType.Float32 || kept == Labels
            ? OfBits<uint>(s_bits, ScalarType.Float32)
            : OfBits<ushort>(s_halfBits, ScalarType.BFloat16);
        Tensor indices = tensor(new long[] { 0, 1, 2, int.MaxValue, int.MaxValue - 1, 1 << 24, (1 << 24) + 1, 151_935, 0 }).reshape(3, 3);
        (ReferenceCacheForm form, TokenReference reference) = kept switch
        {
            Hidden => (ReferenceCacheForm.Hidden(3), numbers.reshape(3, 3)),
            Labels => (s_labels, TokenReference.LabelLogProbabilities(numbers)),
            _ => (s_topK, TokenReference.TopK(indices, numbers.reshape(3, 3))),
        };
        using ReferenceCache cache = Make(form, reference, new ReferenceCacheOptions { StorageType = type });
        foreach (TokenReference read in (TokenReference[])[cache.Read(0), form.Combine([.. cache.ReadBatch([0]).Tensors.Select(tensor => tensor[0])])])
        {
            Assert.That(read.Tensors[^1].dtype, Is.EqualTo(numbers.dtype));
            Assert.That(Bytes(read.Tensors[^1]), Is.EqualTo(Bytes(numbers)));
            Assert.That(Bytes(read.Tensors[0]), Is.EqualTo(kept == TopK ? Bytes(indices.to(ScalarType.Int32)) : Bytes(numbers)));
        }
    }

    /// <summary>
    /// Any reader of safetensors can read the files: the header's offsets, counted from its end, hold the values. There are as many bytes of
    /// them as the form says.
    /// </summary>
    [TestCaseSource(nameof(Sizes))]
    public void FilesAreSafetensors(ReferenceCacheForm form, ScalarType type, long bytesOfToken, string[] entries)
    {
        Tensor made = -rand(2, Width);
        TokenReference reference = form == s_hidden ? made
            : form == s_labels ? TokenReference.LabelLogProbabilities(made[.., 0])
            : TokenReference.TopK(tensor(new long[] { 7, 0, 70_000, 1, 2, 3 }).reshape(2, 3), made[.., ..3]);
        using ReferenceCache cache = Make(form, reference, new ReferenceCacheOptions { StorageType = type });
        byte[] file = File.ReadAllBytes(Shards().Single());
        int header = (int)BitConverter.ToInt64(file, 0);
        Assert.That((8 + header) % 8, Is.Zero);
        JsonObject found = JsonNode.Parse(file.AsSpan(8, header))!.AsObject();
        Assert.That(
            found.Select(entry => $"{entry.Key} {entry.Value!["dtype"]} {entry.Value["shape"]!.ToJsonString()}"),
            Is.EqualTo(entries.Select(entry => "0." + entry)));
        Assert.That(file.Length - 8 - header, Is.EqualTo(2 * bytesOfToken));
        foreach ((JsonNode? entry, Tensor stored) in found.Select(entry => entry.Value).Zip(cache.Read(0).Tensors))
        {
            (int start, int end) = ((int)entry!["data_offsets"]![0]!, (int)entry["data_offsets"]![1]!);
            Assert.That(file[(8 + header + start)..(8 + header + end)], Is.EqualTo(Bytes(stored)));
        }
    }

    /// <summary>
    /// The states make the same loss as those they were copied from: to the bit in float32, in bfloat16 within its rounding.
    /// </summary>
    [Test]
    public void FeedsTheLoss([Values(ScalarType.Float32, ScalarType.BFloat16)] ScalarType type)
    {
        Tensor[] states = [randn(4, Width), randn(4, Width)];
        using ReferenceCache cache = Make([states[0], states[1]], new ReferenceCacheOptions { StorageType = type });
        Tensor weight = randn(20, Width);
        Tensor hidden = stack(states) + (0.5 * randn(2, 4, Width));
        Tensor labels = randint(0, 20, [2, 4], ScalarType.Int64);
        float Kl(Tensor reference) =>
            AsftFunctional.linear_asft_loss(hidden, weight, labels, null, reference, objective: LossObjective.SftKl(1)).item<float>();
        Tensor batch = cache.ReadBatch([0, 1]).Tensors[0];
        Assert.That(Kl(batch), Is.EqualTo(Kl(stack(states))).Within(type == ScalarType.Float32 ? 0 : 2).Percent);
        Assert.That(Kl(batch), Is.EqualTo(Kl(stack(states).to(type))));
    }

    /// <summary>What is kept of a reference gives the loss that it gave before it was kept, examples of several lengths and padding included.</summary>
    [Test]
    public void KeptFormsFeedTheLoss([Values] bool topK)
    {
        Tensor logits = randn(2, 4, 20);
        Tensor labels = tensor(new long[] { 3, 4, 19, 0, 7, 1, -100, -100 }).reshape(2, 4);
        Tensor logs = randn(2, 4, 20).log_softmax(-1);
        (Tensor values, Tensor indices) = logs.topk(5);
        Tensor label = logs.gather(-1, labels.clamp(min: 0).unsqueeze(-1)).squeeze(-1);
        TokenReference[] examples = [.. new[] { 4, 2 }.Select((length, i) => topK
            ? TokenReference.TopK(indices[i].narrow(0, 0, length), values[i].narrow(0, 0, length))
            : TokenReference.LabelLogProbabilities(label[i].narrow(0, 0, length)))];
        LossObjective objective = LossObjective.Asft(0.3) with { KlEstimator = topK ? KlEstimator.Exact : KlEstimator.K3 };
        using var cache = ReferenceCache.OpenOrCreate(
            Folder, Identity, 2, topK ? ReferenceCacheForm.TopK(5) : ReferenceCacheForm.LabelLogProbabilities, example => examples[example],
            new ReferenceCacheOptions { StorageType = ScalarType.Float32 });
        TokenReference whole = topK ? TokenReference.TopK(indices, values) : TokenReference.LabelLogProbabilities(label);
        Assert.That(
            AsftFunctional.asft_loss(logits, labels, cache.ReadBatch([0, 1]), objective).item<float>(),
            Is.EqualTo(AsftFunctional.asft_loss(logits, labels, whole, objective).item<float>()));
    }

    /// <summary>Padding of many entries is a valid reference too, whatever bfloat16 makes of its logarithm.</summary>
    [Test]
    public void PaddingIsAReference([Values(1, 64, 1000)] int k)
    {
        TokenReference nothing = TokenReference.TopK(zeros([0, k], ScalarType.Int64), zeros(0, k));
        using ReferenceCache cache = Make(ReferenceCacheForm.TopK(k), nothing);
        TokenReference padding = cache.ReadBatch([0, 0], length: 1);
        Assert.That(Values(padding.Tensors[0][1]), Is.EqualTo(Enumerable.Range(0, k)));
        Assert.That(Values(padding.Tensors[1][1]).Sum(Math.Exp), Is.EqualTo(0.5).Within(2).Percent);
    }

    /// <summary>Other dtypes, strides and a graph make no difference; what is changed later neither.</summary>
    [Test]
    public void WhatIsAppendedIsCopied()
    {
        Tensor states = randn([Width, 4], ScalarType.Float64, requires_grad: true);
        Tensor logs = -rand([4, 2], ScalarType.Float16);
        Tensor indices = arange(0, 24, 2, ScalarType.Int32).reshape(Entries, 4).t();
        Tensor values = -rand([Entries, 4], ScalarType.BFloat16, requires_grad: true);
        (ReferenceCacheForm Form, TokenReference Reference)[] cases =
        [
            (s_hidden, states.t()),
            (s_hidden, TokenReference.Hidden(states.t())),
            (s_labels, TokenReference.LabelLogProbabilities(logs[.., 1])),
            (s_topK, TokenReference.TopK(indices, values.t())),
        ];
        for (int i = 0; i < cases.Length; i++)
        {
            (ReferenceCacheForm form, TokenReference reference) = cases[i];
            TokenReference before = form.Combine([.. reference.Tensors.Select(tensor => tensor.detach().clone())]);
            string folder = Path.Combine(Folder, $"{i}");
            using (var writer = new ReferenceCacheWriter(folder, Identity, 1 + 1, form, new ReferenceCacheOptions { StorageType = ScalarType.Float32 }))
            {
                writer.Append(reference);
                using (no_grad())
                {
                    reference.Tensors[0].add_(1);
                }

                writer.Append(reference);
            }

            using ReferenceCache cache = ReferenceCache.Open(folder, Identity);
            AssertSame(cache.Read(0), before);
            AssertSame(cache.Read(1), reference);
            Assert.That(cache.Read(0).Tensors, Has.All.Matches<Tensor>(tensor => tensor is { requires_grad: false }));
        }
    }

    [Test]
    public void AnotherFormIsRefusedByName()
    {
        Tensor states = zeros(2, Width);
        (ReferenceCacheForm Form, string Name)[] forms =
            [(s_hidden, "hidden states [T, 6]"), (s_labels, "label log-probabilities [T]"), (s_topK, "top-3 entries [T, 3]")];
        (TokenReference Reference, string Name, ReferenceCacheForm? Form)[] references =
        [
            (states, "a tensor, which a cache takes for hidden states", s_hidden),
            (TokenReference.Hidden(states), "hidden states", s_hidden),
            (TokenReference.LabelLogProbabilities(zeros(2)), "label log-probabilities", s_labels),
            (TokenReference.TopK(arange(3).expand(2, 3), full([2, 3], -2.0)), "top-k entries", s_topK),
            (TokenReference.Logits(states), "logits", null),
            (TokenReference.Hidden(states, zeros(9, Width)), "hidden states with a head, which no cache keeps", null),
        ];
        foreach ((ReferenceCacheForm form, string name) in forms)
        {
            using var writer = new ReferenceCacheWriter(Path.Combine(Folder, form.Name), Identity, 9, form);
            long taken = 0;
            foreach ((TokenReference reference, string other, ReferenceCacheForm? accepts) in references)
            {
                if (accepts == form)
                {
                    writer.Append(reference);
                    taken++;
                }
                else
                {
                    ArgumentException error = Argument(() => writer.Append(reference));
                    Assert.That(error.ParamName, Is.EqualTo("reference"));
                    Assert.That(error.Message, Does.StartWith($"reference must be {name}, which this cache keeps; got {other}"));
                }
            }

            Assert.That(writer.NextExample, Is.EqualTo(taken), "what is refused leaves no trace");
        }
    }

    [Test]
    public void AnotherFormExamplesOrTypeOfTheCacheAreRefused()
    {
        Make(References()).Dispose();
        Assert.That(Refused(() => OpenWriter(examples: 8)).Message, Does.Contain("has 7 examples of").And.Contain("asked for are 8 of"));
        (ReferenceCacheForm Form, string Says)[] others =
        [
            (ReferenceCacheForm.Hidden(5), "hidden states [T, 5]"),
            (s_labels, "label log-probabilities [T]"),
            (ReferenceCacheForm.TopK((int)Width), "top-6 entries [T, 6]"),
        ];
        foreach ((ReferenceCacheForm form, string says) in others)
        {
            Assert.That(
                Refused(() => OpenWriter(form: form)).Message,
                Does.Contain("has 7 examples of hidden states [T, 6] in BFloat16").And.Contain($"asked for are 7 of {says} in "));
        }

        Assert.That(
            Refused(() => OpenWriter(options: new ReferenceCacheOptions { StorageType = ScalarType.Float32 })).Message,
            Does.Contain("in BFloat16;").And.Contain("in Float32."));
    }

    /// <summary>Log-probabilities of labels are float32 whatever the options say, so the options do not matter.</summary>
    [Test]
    public void LabelsHaveOneType()
    {
        TokenReference reference = TokenReference.LabelLogProbabilities(-rand(3));
        Make(s_labels, reference, new ReferenceCacheOptions { StorageType = ScalarType.BFloat16 }).Dispose();
        using ReferenceCache cache = Make(s_labels, reference, new ReferenceCacheOptions { StorageType = ScalarType.Float32 });
        AssertSame(cache.Read(0), reference);
        EditIndex(index => index["dtype"] = "BF16");
        Assert.That(Refused(() => ReferenceCache.Open(Folder, Identity)).Message, Does.Contain("index.json' is damaged: ").And.Contain("dtype BF16"));
    }

    [Test]
    public void BadArguments()
    {
        Assert.Throws<FileNotFoundException>(() => ReferenceCache.Open(Folder, Identity));
        Assert.Throws<ArgumentOutOfRangeException>(() => OpenWriter(examples: -1));
        Assert.Throws<ArgumentNullException>(() => _ = new ReferenceCacheWriter(Folder, Identity, 1, null!));
        Assert.Throws<ArgumentOutOfRangeException>(() => ReferenceCacheForm.Hidden(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => ReferenceCacheForm.Hidden(1L << 31));
        Assert.Throws<ArgumentOutOfRangeException>(() => ReferenceCacheForm.TopK(0));
        Assert.Throws<ArgumentException>(() => ReferenceCache.Open("", Identity));
        Assert.Throws<ArgumentOutOfRangeException>(() => _ = new ReferenceCacheOptions { ShardBytes = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => _ = new ReferenceCacheOptions { StorageType = ScalarType.Float16 });
        using ReferenceCacheWriter writer = OpenWriter(examples: 1);
        AssertRefused(writer, zeros(3, 5), "[T, 6]", "[3, 5]");
        AssertRefused(writer, zeros(Width), "[T, 6]");
        AssertRefused(writer, zeros([3, Width], ScalarType.Int64), "floating-point", "Int64");
        Tensor gone = zeros(3, Width);
        gone.Dispose();
        AssertRefused(writer, gone, "disposed");
        Assert.Throws<ArgumentNullException>(() => writer.Append(null!));
        writer.Append(zeros(3, Width));
        Assert.Throws<InvalidOperationException>(() => writer.Append(zeros(3, Width)));
    }

    [Test]
    public void BadTensors()
    {
        using (ReferenceCacheWriter writer = OpenWriter(examples: 1, form: s_labels))
        {
            AssertRefused(writer, TokenReference.LabelLogProbabilities(zeros(3, 1)), "logProbabilities", "[T];", "[3, 1]");
            AssertRefused(writer, TokenReference.LabelLogProbabilities(zeros([])), "logProbabilities", "[T];", "[]");
            AssertRefused(writer, TokenReference.LabelLogProbabilities(zeros(3, ScalarType.Int64)), "floating-point", "Int64");
        }

        Directory.Delete(Folder, recursive: true);
        using (ReferenceCacheWriter writer = OpenWriter(examples: 1, form: s_topK))
        {
            Tensor indices = arange(3).expand(2, 3);
            Tensor logs = full([2, 3], -2.0);
            AssertRefused(writer, TokenReference.TopK(indices, logs[..1]), "as many tokens", "[2, 3]", "[1, 3]");
            AssertRefused(writer, TokenReference.TopK(indices[.., ..2], logs[.., ..2]), "indices", "[T, 3]", "[2, 2]");
            AssertRefused(writer, TokenReference.TopK(indices, logs[.., ..2]), "logProbabilities", "[T, 3]", "[2, 2]");
            AssertRefused(writer, TokenReference.TopK(logs, indices), "indices", "int64 or int32", "Float32");
            AssertRefused(writer, TokenReference.TopK(indices.to(ScalarType.Int16), logs), "indices", "int64 or int32", "Int16");
            AssertRefused(writer, TokenReference.TopK(indices, indices), "logProbabilities", "floating-point", "Int64");
            AssertRefused(writer, TokenReference.TopK(indices - 1, logs), "indices in [0, 2147483647]", "got -1");
            AssertRefused(writer, TokenReference.TopK((indices - 1).to(ScalarType.Int32), logs), "indices in [0, 2147483647]", "got -1");
            AssertRefused(writer, TokenReference.TopK(indices + int.MaxValue - 1L, logs), "indices in [0, 2147483647]", "got 2147483648");
            AssertRefused(writer, TokenReference.TopK(indices + (1L << 32), logs), "got 4294967298");
            writer.Append(TokenReference.TopK(indices, logs));
            Assert.That(writer.NextExample, Is.EqualTo(1));
        }
    }

    private static void AssertRefused(ReferenceCacheWriter writer, TokenReference reference, params string[] says)
    {
        ArgumentException error = Argument(() => writer.Append(reference));
        Assert.That(error.ParamName, Is.EqualTo("reference"));
        Array.ForEach(says, text => Assert.That(error.Message, Does.Contain(text)));
        Assert.That(writer.NextExample, Is.Zero);
    }

    /// <summary>A tensor of numbers that are given by their bits.</summary>
    private static unsafe Tensor OfBits<T>(T[] bits, ScalarType type)
        where T : unmanaged
    {
        Tensor made = zeros(bits.Length, type);
        bits.CopyTo(new Span<T>(TensorMemory.Pointer(made), bits.Length));
        return made;
    }

    private ReferenceCache Make(ReferenceCacheForm form, TokenReference reference, ReferenceCacheOptions? options = null) =>
        ReferenceCache.OpenOrCreate(Folder, Identity, 1, form, _ => reference, options);
}
