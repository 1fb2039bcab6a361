using FineTune.Tuning;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Tests.Tuning;

/// <summary>The optimizer against its formulas in double precision.</summary>
public class MasterAdamWTests : TuningTest
{
    [Test]
    public void StepsAreThoseOfTheFormulas([Values(0.0, 0.1)] double weightDecay, [Values(1.0, 0.25)] double scale)
    {
        Tensor start = randn(7, 300);
        var parameter = new Parameter(start.clone());
        using var optimizer = new MasterAdamW([("p", parameter)], weightDecay);
        double[] weight = Array.ConvertAll(Values(start), value => (double)value);
        double[] mean = new double[weight.Length];
        double[] square = new double[weight.Length];
        for (int step = 1; step <= 5; step++)
        {
            Tensor gradient = randn(7, 300);
            (parameter * gradient).sum().backward();
            optimizer.Accumulate();
            optimizer.Step(0.01, scale);
            float[] gradients = Values(gradient);
            for (int i = 0; i < weight.Length; i++)
            {
                double g = scale * gradients[i];
                mean[i] = (0.9 * mean[i]) + (0.1 * g);
                square[i] = (0.95 * square[i]) + (0.05 * g * g);
                weight[i] -= 0.01 * weightDecay * weight[i];
                weight[i] -= 0.01 * (mean[i] / (1 - Math.Pow(0.9, step))) / (Math.Sqrt(square[i] / (1 - Math.Pow(0.95, step))) + 1e-8);
            }
        }

        AssertClose(Values(parameter), Array.ConvertAll(weight, value => (float)value), 1e-6);
    }

    /// <summary>Each of the updates is a hundredth of the distance between neighbouring bfloat16 numbers.</summary>
    [Test]
    public void SmallUpdatesOfRoundedWeightsAddUp()
    {
        var parameter = new Parameter(ones([4], ScalarType.BFloat16));
        using var optimizer = new MasterAdamW([("p", parameter)], weightDecay: 0);
        for (int step = 0; step < 500; step++)
        {
            parameter.sum().backward();
            optimizer.Accumulate();
            optimizer.Step(4e-5);
        }

        Assert.That(Values(parameter), Is.All.EqualTo(0.98).Within(0.002));
    }

    [Test]
    public void GradientsOfRoundedWeightsAreSummedInFloat32()
    {
        var parameter = new Parameter(ones([1], ScalarType.BFloat16));
        using var optimizer = new MasterAdamW([("p", parameter)], weightDecay: 0);
        foreach (double part in new[] { 256.0, 1.0, 1.0, 1.0 })
        {
            (parameter * part).sum().backward();
            optimizer.Accumulate();
        }

        Assert.That(optimizer.GradientNorm(), Is.EqualTo(259.0));
    }

    [Test]
    public void ATiedParameterIsOneParameter()
    {
        string[] names = [.. Load("qwen2").Trained.Select(entry => entry.Name)];
        Assert.That(names, Is.Unique.And.Contains("model.embed_tokens.weight").And.No.Contains("lm_head.weight"));
        Assert.That(Load("llama").Trained.Select(entry => entry.Name), Is.Unique.And.Contains("lm_head.weight"));
    }
}
