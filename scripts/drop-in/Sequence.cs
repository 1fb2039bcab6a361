using System.Reflection;
using CSharpExamples;
using TorchSharp;
using TorchSharp.Examples;
using static TorchSharp.torch;

/// <summary>TorchSharpExamples' sequence model: its model and its training step, with the criterion its Run makes; words, V = 28,782, WikiText-2's.</summary>
public static class Adapter
{
    private const int Vocabulary = 28782, Time = 32;

    public static Func<int, float> Create(string text, string? loss)
    {
        var numbers = new Dictionary<string, long>();
        long[] words = [.. text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Select(Number)];
        Tensor data = tensor(words[..(words.Length / 64 * 64)]).reshape(64, -1).t().contiguous();
        TransformerModel model = new TransformerModel(Vocabulary, 200, 2, 200, 2, 0.2).to(CPU);
        var criterion = new Recorded(Criterion.Make());
        var optimizer = optim.SGD(model.parameters(), 2.5);
        var train = typeof(SequenceToSequence).GetMethod("train", BindingFlags.NonPublic | BindingFlags.Static)!;
        return step =>
        {
            using Tensor rows = data.narrow(0, step * Time, Time + 1);
            train.Invoke(null, [1, rows, model, criterion, Time, Vocabulary, optimizer]);
            return criterion.Last;
        };

        long Number(string word)
        {
            if (!numbers.TryGetValue(word, out long number))
            {
                numbers.Add(word, number = numbers.Count);
            }

            return number;
        }
    }

    /// <summary>Their step keeps the loss to itself.</summary>
    private sealed class Recorded(Loss<Tensor, Tensor, Tensor> criterion) : Loss<Tensor, Tensor, Tensor>(nn.Reduction.Mean)
    {
        public float Last { get; private set; }

        public override Tensor forward(Tensor input, Tensor target)
        {
            Tensor loss = criterion.call(input, target);
            Last = loss.item<float>();
            return loss;
        }
    }
}

namespace TorchSharp
{
    /// <summary>They name TorchVision, and use nothing of it here.</summary>
    public static class torchvision;
}

namespace TorchSharp.Examples.Utils
{
    /// <summary>They name the namespace, and use nothing of it here.</summary>
    public static class Nothing;
}
