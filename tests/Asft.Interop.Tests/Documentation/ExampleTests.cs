using System.Runtime.InteropServices;
using System.Text.Json;
using Asft.Distributed;
using Asft.Kernels;
using TorchSharp;
using TorchSharp.Modules;
using static Asft.Interop.AsftFunctional;
using static TorchSharp.torch;

namespace Asft.Interop.Tests.Documentation;

/// <summary>The examples that people copy, as they stand in the pages: they compile, and do what they say.</summary>
public class ExampleTests : TorchTest
{
    /// <summary>The code of a page is, line by line, in this file.</summary>
    [Test]
    public void IsThePagesText([ValueSource(nameof(Pages))] string page)
    {
        string[] shown = [.. Repository.Read(page).Split("```csharp")[1..].SelectMany(block => Lines(block.Split("```")[0]))];
        Assert.That(shown.Except(CompiledHere), Is.Empty);
    }

    /// <summary>So is the code of the notebook, but for the directives of its kernel.</summary>
    [Test]
    public void IsTheNotebooksText()
    {
        using var notebook = JsonDocument.Parse(Repository.Read("samples/Notebook/asft.ipynb"));
        string[] shown =
        [
            .. notebook.RootElement.GetProperty("cells").EnumerateArray()
                .Where(cell => cell.GetProperty("cell_type").GetString() == "code")
                .SelectMany(cell => cell.GetProperty("source").EnumerateArray())
                .Select(line => line.GetString()!.Trim())
                .Where(line => line.Length > 0 && !line.StartsWith("#r ", StringComparison.Ordinal)),
        ];
        Assert.That(shown, Is.Not.Empty);
        Assert.That(shown.Except(CompiledHere), Is.Empty);
    }

    /// <summary>The lines of this file, and the directive that its namespace stands for.</summary>
    private static IEnumerable<string> CompiledHere =>
        Lines(Repository.Read("tests/Asft.Interop.Tests/Documentation/ExampleTests.cs")).Append("using Asft.Interop;");

    private static IEnumerable<string> Lines(string text) => text.Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0);

    private static IEnumerable<string> Pages => Repository.Files(".md").Where(page => Repository.Read(page).Contains("```csharp", StringComparison.Ordinal));

    [Test]
    public void Readme()
    {
        var model = nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 9));
        var baseModel = nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 9));
        Tensor tokens = randint(0, 9, [2, 5], ScalarType.Int64);
        Tensor labels = tokens.clone();
        labels[1, 4] = -100;
        Tensor before = model.forward(tokens).argmax(-1);

        Tensor logits = model.forward(tokens), reference;                   // [batch, time, V], any floating dtype
        using (no_grad()) reference = baseModel.forward(tokens);            // the frozen model to stay near to

        using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(
            logits, labels, reference,                                      // labels [batch, time]; -100 is ignored
            LossObjective.Asft(klWeight: 0.05),
            shiftLabels: true,                                              // position t is scored against label t+1
            inPlace: true);                                                 // from here on, logits holds gradients ...
        result.Loss.backward();
        Tensor right = result.PredictedToken[.., ..^1].eq(labels[.., 1..]); // ... so what the model predicted is asked of the result

        Tensor counted = labels[.., 1..] != -100;
        Assert.Multiple(() =>
        {
            Assert.That(model.parameters().All(parameter => parameter.grad is not null));
            Assert.That(right.sum().item<long>(), Is.EqualTo((before[.., ..^1].eq(labels[.., 1..]) & counted).sum().item<long>()));
            Assert.That(result.TokenCount, Is.EqualTo(7));
            Assert.That(Values(logits), Is.Not.EqualTo(Values(model.forward(tokens))), "What is read here now are gradients.");
        });
    }

    [Test]
    public void Notebook()
    {
        string shown = string.Empty;
        double[] Train(LossObjective objective)
        {
            random.manual_seed(1);
            using var policy = nn.Sequential(nn.Embedding(50, 32), nn.Linear(32, 50));
            using var frozen = nn.Sequential(nn.Embedding(50, 32), nn.Linear(32, 50));
            frozen.load_state_dict(policy.state_dict());
            using var optimizer = optim.AdamW(policy.parameters(), lr: 1e-2);
            var drift = new List<double>();
            for (int step = 0; step < 100; step++)
            {
                using var scope = NewDisposeScope();
                Tensor inputs = randint(0, 50, [256], ScalarType.Int64);
                Tensor labels = where(rand(256) < 0.25, randint(0, 50, [256], ScalarType.Int64), (inputs + 1) % 50);
                Tensor reference;
                using (no_grad()) reference = frozen.forward(inputs);
                using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(policy.forward(inputs), labels, reference, objective);
                optimizer.zero_grad();
                result.Loss.backward();
                optimizer.step();
                drift.Add(result.TokenKl.mean().item<float>());
            }

            return drift.ToArray();
        }

        double[] dft = Train(LossObjective.Dft);
        double[] asft = Train(LossObjective.Asft(klWeight: 0.1));
        Console.WriteLine(FormattableString.Invariant($"KL from the frozen copy after 100 steps: DFT {dft[^1]:F2}, ASFT {asft[^1]:F2} nats a token"));

        string Curve(double[] values, string color) =>
            $"<polyline fill='none' stroke='{color}' points='{string.Join(' ', values.Select((kl, step) => FormattableString.Invariant($"{4 * step},{110 - (kl * 30)}")))}'/>";
        display(HTML($"<svg width='420' height='120'>{Curve(dft, "crimson")}{Curve(asft, "steelblue")}</svg> DFT red, ASFT blue: KL from the frozen copy, step by step"));

        Assert.That(asft[^1], Is.LessThan(dft[^1] / 2), "the anchor holds");
        Assert.That(shown, Does.Contain("<polyline").And.Contain(" 396,"));

        // What the notebook's kernel offers.
        string HTML(string content) => content;
        void display(string content) => shown = content;
    }

    [Test]
    public void DataParallelLoop()
    {
        Sequential model = nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 9));
        using optim.Optimizer optimizer = optim.AdamW(model.parameters());
        (Tensor Tokens, Tensor Labels)[] batches = [(randint(0, 9, [4, 5]), randint(0, 9, [4, 5]))];
        Tensor before = model.parameters().First().detach().clone();

        using IProcessGroup group = ProcessGroup.Join();
        using var parallel = new DataParallel(group, model.parameters());
        foreach ((Tensor tokens, Tensor labels) in batches)
        {
            Range own = parallel.Part((int)labels.size(0));
            Tensor tokenCount = parallel.TokenCount(labels[own]);
            optimizer.zero_grad();
            Tensor loss = asft_loss(model.forward(tokens[own]), labels[own], objective: LossObjective.Dft, tokenCount: tokenCount);
            loss.backward();
            parallel.SumGradients();
            optimizer.step();
        }

        group.Complete();
        Assert.That(Values(model.parameters().First()), Is.Not.EqualTo(Values(before)));
    }

    [Test]
    public void VocabularyParallel()
    {
        long vocabulary = 9;
        Tensor weight = randn(vocabulary, 6).requires_grad_();
        Tensor hidden = randn(4, 6).requires_grad_();
        Tensor labels = randint(0, 9, [4]);
        LossObjective objective = LossObjective.Dft;
        using IProcessGroup group = ProcessGroup.Join();

        (VocabularyShard shard, long rows) = VocabularyShard.Even(group, vocabulary);
        Tensor head = weight.narrow(0, shard.FirstColumn, rows);       // or a parameter that has no more rows than these
        Tensor loss = linear_asft_loss(hidden, head, labels, objective: objective, shard: shard);

        loss.backward();
        AssertClose(loss, asft_loss(hidden.matmul(weight.t()), labels, objective: objective), 1e-6, 1e-6, "loss");
        group.Complete();
    }

    [Test]
    public void AnyTrainer()
    {
        nn.Module<Tensor, Tensor> policy = nn.Embedding(9, 6), frozen = nn.Embedding(9, 6);
        var head = nn.Linear(6, 9);
        var frozenHead = nn.Linear(6, 9);
        var optimizer = optim.SGD(policy.parameters().Concat(head.parameters()), 0.1);
        Tensor before = head.weight!.clone();
        (Tensor, Tensor)[] data = [(randint(0, 9, [2, 5], ScalarType.Int64), randint(0, 9, [2, 5], ScalarType.Int64))];

        LossObjective objective = LossObjective.Asft(klWeight: 0.05);
        foreach ((Tensor tokens, Tensor labels) in data)                    // labels: the tokens, and -100 in prompts and padding
        {
            using var step = NewDisposeScope();
            Tensor hidden = policy.forward(tokens), states;                 // [B, T, d]: what the head takes
            using (no_grad()) states = frozen.forward(tokens);
            var reference = TokenReference.Hidden(states, frozenHead.weight, frozenHead.bias);
            using AsftLossResult result = linear_asft_loss_with_metrics(hidden, head, labels, reference, objective, shiftLabels: true);
            optimizer.zero_grad();
            result.Loss.backward();
            optimizer.step();
        }

        Assert.That(head.weight.allclose(before), Is.False);
    }

    [Test]
    public void ExchangedModule()
    {
        Tensor logits = randn(4, 9), labels = randint(0, 9, [4], ScalarType.Int64);
        Loss<Tensor, Tensor, Tensor> criterion = new AsftLoss(LossObjective.Sft);   // was: nn.CrossEntropyLoss()
        Tensor loss = criterion.call(logits, labels);                               // the classes last: [N, V] or [batch, time, V]
        Assert.That(loss.item<float>(), Is.EqualTo(nn.functional.cross_entropy(logits, labels).item<float>()).Within(2e-6));
    }

    [Test]
    public void DropIn()
    {
        Tensor shiftLogits = randn([4, 9], requires_grad: true), shiftLabels = tensor(new long[] { 3, -100, 0, 8 });
        var loss = AsftFunctional.asft_loss(shiftLogits, shiftLabels, objective: LossObjective.Sft);
        loss.backward();
        Tensor ours = shiftLogits.grad!.clone();
        shiftLogits.grad = null;
        Tensor theirs = nn.functional.cross_entropy(shiftLogits, shiftLabels);
        theirs.backward();
        Assert.That(loss.item<float>(), Is.EqualTo(theirs.item<float>()).Within(2e-6));
        Assert.That(Values(ours), Is.EqualTo(Values(shiftLogits.grad!)).Within(1e-6));
    }

    [Test]
    public void FrozenCopy()
    {
        var model = nn.Sequential(nn.Embedding(9, 6), nn.Dropout(0.5), nn.Linear(6, 9));
        var baseModel = nn.Sequential(nn.Embedding(9, 6), nn.Dropout(0.5), nn.Linear(6, 9));
        baseModel.load_state_dict(model.state_dict());
        baseModel.eval();

        model.eval();
        Tensor tokens = arange(9, ScalarType.Int64);
        Assert.That(Values(baseModel.forward(tokens)), Is.EqualTo(Values(model.forward(tokens))));
    }

    [Test]
    public void Package()
    {
        Tensor logits = randn([2, 5, 9], requires_grad: true), reference = randn(2, 5, 9), labels = randint(0, 9, [2, 5], ScalarType.Int64);
        Tensor loss = AsftFunctional.asft_loss(logits, labels, reference, LossObjective.Asft(klWeight: 0.05), shiftLabels: true);
        loss.backward();
        Assert.That(logits.grad, Is.Not.Null);
    }

    [Test]
    public void Troubleshooting()
    {
        Tensor logits = Computed(randn(2, 5).requires_grad_());
        Tensor loss = asft_loss(logits, zeros([2], ScalarType.Int64), objective: LossObjective.Sft, inPlace: true);
        loss.backward(retain_graph: true);
        ErrorOutput(() => Assert.That(Again, Throws.InvalidOperationException.With.InnerException.With.Message.Contains("inPlace: false")));

        void Again()
        {
            try
            {
                loss.backward();
            }
            catch (ExternalException) when (AsftRuntime.LastBackwardError is { } error)
            {
                throw new InvalidOperationException("The backward pass failed: " + error.Message, error);
            }
        }
    }

    [Test]
    public void LinearLoss()
    {
        Embedding trunk = nn.Embedding(9, 6);
        Embedding frozenTrunk = nn.Embedding(9, 6);
        TorchSharp.Modules.Linear head = nn.Linear(6, 9);
        Tensor tokens = randint(0, 9, [2, 5], ScalarType.Int64);
        Tensor labels = tokens;

        Tensor hidden = trunk.forward(tokens);                                    // [B, T, d], before the head
        Tensor reference;
        using (no_grad()) reference = frozenTrunk.forward(tokens);                // or a ReferenceCache, see below
        Tensor loss = linear_asft_loss(hidden, head, labels, reference, shiftLabels: true);          // head: a Linear, its bias included
        loss.backward();

        Assert.That(
            loss.item<float>(),
            Is.EqualTo(asft_loss(head.forward(hidden), labels, head.forward(reference), shiftLabels: true).item<float>()).Within(2e-6));
    }

    [Test]
    public void Workspace()
    {
        Tensor hidden = randn(4, 6), reference = randn(4, 6), labels = randint(0, 9, [4], ScalarType.Int64);
        TorchSharp.Modules.Linear head = nn.Linear(6, 9);
        Tensor loss =
            linear_asft_loss(hidden, head, labels, reference, options: new LinearLossOptions { WorkspaceBytes = 256 << 20 });
        Assert.That(loss.item<float>(), Is.EqualTo(linear_asft_loss(hidden, head, labels, reference).item<float>()).Within(2e-6));
    }

    [Test]
    public void Cuda()
    {
        if (!cuda.is_available())
        {
            Assert.Ignore("no CUDA device");
        }

        Tensor logits = randn(4, 9), reference = randn(4, 9), labels = randint(0, 9, [4], ScalarType.Int64);
        Tensor loss = AsftFunctional.asft_loss(logits.cuda(), labels.cuda(), reference.cuda());
        Console.WriteLine(AsftRuntime.Describe());
        Assert.That(loss.item<float>(), Is.EqualTo(AsftFunctional.asft_loss(logits, labels, reference).item<float>()).Within(2e-6));
    }
}

/// <summary>The examples of the reference cache. They write to the current directory, and so are alone.</summary>
[NonParallelizable]
public class CacheExampleTests : TorchTest
{
    private static readonly long[][] s_examples = [[1, 2, 3], [4, 5]];
    private string _before = null!;
    private string _folder = null!;

    [SetUp]
    public void MoveToAFolder()
    {
        _before = Directory.GetCurrentDirectory();
        _folder = Directory.CreateTempSubdirectory("asft-example-").FullName;
        Directory.SetCurrentDirectory(_folder);
    }

    [TearDown]
    public void MoveBack()
    {
        Directory.SetCurrentDirectory(_before);
        Directory.Delete(_folder, recursive: true);
    }

    [Test]
    public void Cache()
    {
        long[][] examples = s_examples;
        using var referenceModel = new Model();
        long[] numbers = [0, 1];
        Tensor tokens = tensor(new long[] { 1, 2, 3, 4, 5, 0 }).reshape(2, 3);
        Tensor labels = tensor(new long[] { 1, 2, 3, 4, 5, -100 }).reshape(2, 3);
        TorchSharp.Modules.Linear head = referenceModel.Head;
        Tensor hidden = referenceModel.Hidden(tokens);

        // examples: a long[][], the tokens of each
        var identity = new ReferenceCacheIdentity(
            Model: Fingerprint.Of(referenceModel),
            Head: Fingerprint.Of(referenceModel.Head),
            DataSet: Fingerprint.Of(examples));

        using ReferenceCache cache = ReferenceCache.OpenOrCreate(
            "cache", identity, examples.Length, ReferenceCacheForm.Hidden(512),
            example => referenceModel.Hidden(tensor(examples[example]).unsqueeze(0)).squeeze(0));      // [T, d], before the head

        // In the training loop, for a batch of examples by their numbers:
        using TokenReference batch = cache.ReadBatch(numbers, length: tokens.size(1));      // [B, T, d] in host memory, zeros where a row is padded
        Tensor loss = linear_asft_loss(hidden, head, labels, batch.to(hidden.device), shiftLabels: true);

        Assert.That(batch.Tensors[0].shape, Is.EqualTo(new long[] { 2, 3, 512 }));
        Assert.That(loss.item<float>(), Is.Positive);
    }

    /// <summary>Gradients accumulated over micro-batches are those of the whole batch.</summary>
    [Test]
    public void AccumulatedGradients()
    {
        var model = nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 9));
        Tensor inputs = randint(0, 9, [6], ScalarType.Int64), labels = tensor(new long[] { 1, -100, 2, 3, -100, 8 });
        asft_loss(model.forward(inputs), labels, objective: LossObjective.Dft).backward();
        double[][] whole = [.. model.parameters().Select(parameter => Values(Gradient(parameter)))];
        model.zero_grad();

        (Tensor Input, Tensor Labels)[] microBatches = [(inputs[..2], labels[..2]), (inputs[2..], labels[2..])];
        Tensor tokenCount = microBatches.Aggregate(zeros(1), (sum, batch) => sum + batch.Labels.ne(-100).sum());
        foreach ((Tensor input, Tensor target) in microBatches)
        {
            using var scope = NewDisposeScope();
            asft_loss(model.forward(input), target, objective: LossObjective.Dft, tokenCount: tokenCount).backward();
        }

        foreach ((double[] expected, Tensor parameter) in whole.Zip(model.parameters()))
        {
            AssertClose(Values(Gradient(parameter)), expected, 1e-7, 1e-5, "accumulated");
        }
    }

    [Test]
    public void Watching()
    {
        var model = nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 9));
        Tensor tokens = randint(0, 9, [2, 5], ScalarType.Int64), labels = randint(0, 9, [2, 5], ScalarType.Int64);
        Tensor reference = model.forward(tokens).detach();
        using AsftLossResult watched = asft_loss_with_metrics(model.forward(tokens), labels, reference);
        double kl = watched.TokenKl.sum().item<float>() / watched.TokenCount;               // drift from the reference, in nats a token
        double entropy = watched.TokenEntropy.sum().item<float>() / watched.TokenCount;     // how undecided the model is
        double probability = watched.TokenLogProbability.exp().mean().item<float>();        // of the labels
        Assert.That((kl, entropy > 0, probability > 0), Is.EqualTo((0.0, true, true)));
    }

    /// <summary>Each objective of the table in docs/objectives.md, as it stands there, trains.</summary>
    [Test]
    public void Objectives()
    {
        Tensor logits = randn([2, 5, 9], requires_grad: true), reference = randn(2, 5, 9), labels = randint(0, 9, [2, 5], ScalarType.Int64);
        LossObjective[] objectives =
        [
            LossObjective.Sft,
            LossObjective.Dft,
            LossObjective.Asft(klWeight: 0.05),
            new LossObjective { Weighting = TokenWeighting.ImportanceRatio },
            new LossObjective { Weighting = TokenWeighting.ImportanceRatio, WeightMax = 1.2, WeightBound = WeightBound.Drop },
            new LossObjective { Weighting = TokenWeighting.Entropy },
            LossObjective.Dft with { WeightComplementExponent = 1 },
            LossObjective.Dft with { WeightExponent = 0, WeightComplementExponent = 2 },
            LossObjective.Dft with { KlWeight = 0.05, KlEstimator = KlEstimator.K3 },
            LossObjective.SftKl(1) with { NllWeight = 0 },
        ];
        Tensor[] losses =
        [
            .. objectives.Select(objective => asft_loss(logits, labels, reference, objective)),
            asft_loss(logits, labels, reference, weighting: s => (s.LogProbability * s.SquaredProbabilitySum).exp()),
            asft_loss(logits, labels, reference, weighting: s => Information(s.ReferenceLogProbability!)),
            asft_loss(logits, labels, reference, weighting: s => (s.LogProbability / 2.0).exp().clamp(min: 0.01)),
            asft_loss(logits, labels, reference, weighting: s => s.LogProbability.exp().gt(0.05).to(s.LogProbability.dtype)),
        ];
        float[] values = [.. losses.Select(loss => loss.item<float>())];
        Assert.That(values, Is.Unique.And.All.Matches<float>(float.IsFinite));

        string code = Repository.Read("tests/Asft.Interop.Tests/Documentation/ExampleTests.cs");
        string[] rows = [.. Repository.Read("docs/objectives.md").Split('\n').Where(line => line.Contains("| `", StringComparison.Ordinal) && line.EndsWith("` |", StringComparison.Ordinal))];
        Assert.That(rows, Has.Length.EqualTo(losses.Length), "each row of the table is here");
        Assert.That(rows.Select(row => row.Split('`')[^2]).Where(line => !code.Contains(line, StringComparison.Ordinal)), Is.Empty);

        static Tensor Information(Tensor lq) => lq.exp() * (3 - (lq - (1 - lq.exp()).log())).clamp(min: 0);
    }

    [Test]
    public void OwnWeights()
    {
        Tensor logits = randn([2, 5, 9], requires_grad: true), reference = randn(2, 5, 9), labels = randint(0, 9, [2, 5], ScalarType.Int64);
        Tensor weights = rand(2, 5);
        Tensor loss = asft_loss(logits, labels, reference, tokenWeights: weights, tokenCount: weights.sum());
        Tensor deft = asft_loss(logits, labels, objective: LossObjective.Sft, weighting: s => (s.LogProbability * s.SquaredProbabilitySum).exp());

        Tensor logProbabilities = reference.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1);
        TokenReference kept = TokenReference.LabelLogProbabilities(logProbabilities);
        Tensor anchored = asft_loss(logits, labels, kept, LossObjective.Dft with { KlWeight = 0.05, KlEstimator = KlEstimator.K3 });

        (Tensor topLogProbabilities, Tensor indices) = reference.log_softmax(-1).topk(4);
        TokenReference topK = TokenReference.TopK(indices, topLogProbabilities);   // [..., K] both, as an inference server returns them
        Tensor distilled = asft_loss(logits, labels, topK, LossObjective.SftKl(1) with { NllWeight = 0 });
        Assert.That(new[] { loss, deft, anchored, distilled }.Select(each => each.item<float>()), Is.All.Positive);
    }

    [Test]
    public void CacheForms()
    {
        long[][] examples = s_examples;
        using var referenceModel = new Model();
        var identity = new ReferenceCacheIdentity("model", "head", "data");

        Tensor Logits(long example) => referenceModel.Head.forward(referenceModel.Hidden(tensor(examples[example])));      // [T, V]

        using ReferenceCache labelCache = ReferenceCache.OpenOrCreate(
            "cache-labels", identity, examples.Length, ReferenceCacheForm.LabelLogProbabilities,
            example =>
            {
                // Of the token at t + 1, the model speaks at t; with the label that it is about, it stands at t + 1.
                using AsftLossResult result = asft_loss_with_metrics(
                    Logits(example), tensor(examples[example]), objective: LossObjective.Sft, shiftLabels: true);
                return TokenReference.LabelLogProbabilities(result.TokenLogProbability.roll(1, 0));
            });

        using ReferenceCache topKCache = ReferenceCache.OpenOrCreate(
            "cache-top-k", identity, examples.Length, ReferenceCacheForm.TopK(64),
            example =>
            {
                (Tensor logs, Tensor indices) = Logits(example).log_softmax(-1).roll(1, 0).topk(64);
                return TokenReference.TopK(indices, logs);
            });

        for (int example = 0; example < examples.Length; example++)
        {
            Tensor logs = Logits(example).log_softmax(-1);
            Tensor labels = labelCache.Read(example).Tensors[0];
            IReadOnlyList<Tensor> topK = topKCache.Read(example).Tensors;
            for (int t = 1; t < examples[example].Length; t++)
            {
                int token = (int)examples[example][t];
                Assert.That(labels[t].item<float>(), Is.EqualTo(logs[t - 1, token].item<float>()).Within(1e-5));
                Assert.That(topK[0][t, 0].item<int>(), Is.EqualTo(logs[t - 1].argmax().item<long>()));
                Assert.That(topK[1][t, 0].to(ScalarType.Float32).item<float>(), Is.EqualTo(logs[t - 1].max().item<float>()).Within(1).Percent);
            }
        }
    }

    [Test]
    public void Writer()
    {
        long[][] examples = s_examples;
        using var referenceModel = new Model();
        var identity = new ReferenceCacheIdentity("model", "head", "data");

        using var writer = new ReferenceCacheWriter("cache", identity, examples.Length, ReferenceCacheForm.Hidden(512));
        while (writer.NextExample < writer.Examples)
        {
            foreach (Tensor states in RunBatch(writer.NextExample))               // a function of yours: some examples from that one on
            {
                writer.Append(states);                                            // [T, d] of one example, in order; or a TokenReference
            }
        }

        writer.Dispose();
        using ReferenceCache cache = ReferenceCache.Open("cache", identity);
        Assert.That(cache.Count, Is.EqualTo(2));

        Tensor[] RunBatch(long first)
        {
            using var noGrad = no_grad();
            return [.. examples[(int)first..].Select(example => referenceModel.Hidden(tensor(example)))];
        }
    }

    private sealed class Model : nn.Module
    {
        private readonly Embedding _trunk = nn.Embedding(99, 512);

        public Model()
            : base(nameof(Model))
        {
            RegisterComponents();
        }

        public TorchSharp.Modules.Linear Head { get; } = nn.Linear(512, 99);

        public Tensor Hidden(Tensor tokens) => _trunk.forward(tokens);
    }
}
