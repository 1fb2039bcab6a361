using Asft.Interop.Tests.DevicePath;
using static TorchSharp.torch;

namespace Asft.Interop.Tests.Linear;

/// <summary>A test of the linear loss. One torch thread: there is nothing here to make faster.</summary>
[NonParallelizable]
public abstract class LinearTest(string path = LossPath.Host) : TorchTest(path)
{
    private int _threads;

    [OneTimeSetUp]
    public void UseOneThread()
    {
        _threads = get_num_threads();
        set_num_threads(1);
    }

    [OneTimeTearDown]
    public void UseThreadsAgain() => set_num_threads(_threads);

    /// <summary>Asserts that a tensor is within a relative distance of another, in norm.</summary>
    protected static void AssertNear(Tensor actual, Tensor expected, double relative, string what)
    {
        Assert.That(actual.shape, Is.EqualTo(expected.shape), what);
        Tensor wide = actual.detach().to(ScalarType.Float64);
        double distance = (wide - expected).norm().item<double>();
        Assert.That(distance, Is.LessThanOrEqualTo(relative * expected.norm().item<double>()), what);
    }

    /// <summary>Asserts gradients of hidden, weight and bias, each to one rounding to a dtype.</summary>
    internal static void AssertGradients(Tensor[] actual, Tensor[] expected, ScalarType type, string what)
    {
        double relative = type switch
        {
            ScalarType.Float64 => 1e-12,
            ScalarType.Float32 => 5e-6,
            ScalarType.Float16 => 5e-6 + Math.ScaleB(1, -11),
            _ => 5e-6 + Math.ScaleB(1, -8),
        };
        Assert.That(actual, Has.Length.EqualTo(expected.Length));
        string[] names = ["d hidden", "d weight", "d bias"];
        for (int i = 0; i < actual.Length; i++)
        {
            Assert.That(actual[i].dtype, Is.EqualTo(type), $"{what}, {names[i]}");
            AssertNear(actual[i], expected[i], relative, $"{what}, {names[i]}");
        }
    }
}
