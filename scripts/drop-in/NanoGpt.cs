using Gpt;
using Shared;
using TorchSharp;
using static TorchSharp.torch;

/// <summary>NanoGptDotnet: its model, which has the loss inside, its batches and its optimizer; V = 65 characters.</summary>
public static class Adapter
{
    public static Func<int, float> Create(string text, string? loss)
    {
        Settings.Device = CPU;
        char[] characters = [.. text.Distinct().Order()];
        Tensor data = tensor(new TokenEncoder(characters).Encode(text), ScalarType.Int64);
        var sampler = new DataSampler(data, data);
        var model = new GptLanguageModel("model", characters.Length);
        var optimizer = optim.AdamW(model.parameters(), lr: Settings.LearningRate);
        return _ =>
        {
            using DisposeScope scope = NewDisposeScope();
            (Tensor inputs, Tensor targets) = sampler.RandomSamples(DataType.Train, Settings.BatchSize, Settings.BlockSize, CPU);
            (Tensor _, Tensor? value) = model.Forward(inputs, targets);
            optimizer.zero_grad();
            value!.backward();
            optimizer.step();
            return value.item<float>();
        };
    }
}
