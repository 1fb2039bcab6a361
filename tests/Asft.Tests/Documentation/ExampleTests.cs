using System.Runtime.InteropServices;
using Asft.Interop;
using Asft.Kernels;
using Asft.Tests.Interop;
using TorchSharp.Modules;
using static Asft.Interop.AsftFunctional;
using static TorchSharp.torch;

namespace Asft.Tests.Documentation;

/// <summary>The examples that people copy, as they stand in the pages: they compile, and do what they say.</summary>
public class ExampleTests : TorchTest
{
    /// <summary>A block of C# in a page is, line by line, in this file.</summary>
    [Test]
    public void IsThePagesText([Values("README.md", "docs/linear-loss.md", "docs/troubleshooting.md")] string page)
    {
        string[] code = [.. Lines(Repository.Read("tests/Asft.Tests/Documentation/ExampleTests.cs"))];
        string[] block = [.. Lines(Repository.Read(page).Split("```csharp")[1].Split("```")[0])];
        Assert.That(block, Is.Not.Empty);
        Assert.That(block.Except(code), Is.Empty);

        static IEnumerable<string> Lines(string text) => text.Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0);
    }

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
}
