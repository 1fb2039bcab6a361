using Asft.Interop;
using Asft.Kernels;
using Microsoft.ML.GenAI.Core;
using Microsoft.ML.GenAI.LLaMA;
using Microsoft.ML.GenAI.LLaMA.Module;
using TorchSharp;
using TorchSharp.Modules;
using static Asft.Interop.AsftFunctional;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

/// <summary>
/// GenAI's LLaMA, small, V = 50,257, float32, its trainer's step. Its loss is in the model's forward pass. Two losses beside its own: "composed"
/// and "fused", ASFT near to a frozen copy, of the logits; "linear", of the hidden states. "sparse" has one label a row counted, as
/// CausalLMDataset makes them.
/// </summary>
public static class Adapter
{
    private const int Vocabulary = 50257, Batch = 4, Time = 128;
    private const float KlWeight = 0.05f;

    public static Func<int, float> Create(string text, string? loss)
    {
        var numbers = new Dictionary<string, long>();
        long[] words = [.. text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Select(word => Number(word))];
        var config = new LlamaConfig
        {
            HiddenSize = 256, IntermediateSize = 688, NumHiddenLayers = 4, NumAttentionHeads = 4, NumKeyValueHeads = 2,
            MaxPositionEmbeddings = 1024, VocabSize = Vocabulary, DType = ScalarType.Float32,
        };
        LlamaForCausalLM model = new(config), frozen = new(config);
        Draw(model);
        Draw(frozen);
        var optimizer = optim.Adam(model.parameters(), lr: 5e-5);
        return step =>
        {
            using DisposeScope scope = NewDisposeScope();
            long begin = step * Batch * Time;
            Tensor tokens = tensor(words[(int)begin..(int)(begin + Batch * Time + 1)]);
            Tensor inputs = tokens[..^1].reshape(Batch, Time), labels = tokens[1..].clone().reshape(Batch, Time);
            if (loss == "sparse")
            {
                labels[TensorIndex.Colon, TensorIndex.Slice(0, Time - 1)] = -100;
            }

            CausalLMModelInput Input(Tensor? labels) => new(inputs, attentionMask: ones_like(inputs), labels: labels, useCache: false);
            Tensor value;
            if (loss is null or "sparse")
            {
                value = model.forward(Input(labels)).Loss!;
            }
            else if (loss == "linear")
            {
                Tensor hidden = Trunk(model).forward(Input(null)).LastHiddenState, states;
                using (no_grad())
                {
                    states = Trunk(frozen).forward(Input(null)).LastHiddenState;
                }

                value = linear_asft_loss(hidden, Head(model), labels, TokenReference.Hidden(states, Head(frozen)), LossObjective.Asft(KlWeight));
            }
            else
            {
                Tensor logits = model.forward(Input(null)).Logits!, reference;
                using (no_grad())
                {
                    reference = frozen.forward(Input(null)).Logits!;
                }

                value = loss == "fused"
                    ? asft_loss(logits, labels, reference, LossObjective.Asft(KlWeight))
                    : Composed(logits.view(-1, Vocabulary), labels.view(-1), reference.view(-1, Vocabulary));
            }

            optimizer.zero_grad();
            value.backward();
            optimizer.step();
            return value.item<float>();
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

    private static LlamaModel Trunk(LlamaForCausalLM model) => (LlamaModel)model.named_children().First(child => child.name == "model").module;

    private static Linear Head(LlamaForCausalLM model) => (Linear)model.named_children().First(child => child.name == "lm_head").module;

    /// <summary>GenAI's modules are made to be loaded, and start as zeros: normal values here, and ones for the norms.</summary>
    private static void Draw(LlamaForCausalLM model)
    {
        using (no_grad())
        {
            manual_seed(1);
            foreach ((string name, Parameter parameter) in model.named_parameters())
            {
                _ = parameter.dim() == 1 ? parameter.fill_(1) : parameter.normal_(0, 0.02);
            }

            foreach ((string name, Tensor buffer) in model.named_buffers())
            {
                if (name.EndsWith("weight", StringComparison.Ordinal))
                {
                    _ = buffer.dim() == 1 ? buffer.fill_(1) : buffer.normal_(0, 0.02);
                }
            }
        }
    }

    private static Tensor Composed(Tensor logits, Tensor labels, Tensor reference)
    {
        Tensor nll = F.cross_entropy(logits, labels, reduction: nn.Reduction.None);
        Tensor weighted = (nll.detach().neg().exp() * nll).mean();
        return weighted + KlWeight * F.kl_div(F.log_softmax(logits, -1), F.softmax(reference, -1), log_target: false, reduction: nn.Reduction.Sum) / labels.numel();
    }
}

namespace TorchSharp.PyBridge
{
    /// <summary>They load checkpoints with this package; nothing is loaded here.</summary>
    public static class Checkpoints
    {
        public static void load_checkpoint(this nn.Module model, string path, string checkpointName, bool strict, bool useTqdm) =>
            throw new NotSupportedException();
    }
}
