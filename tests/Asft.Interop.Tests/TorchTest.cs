using System.Globalization;
using Asft.Interop.Tests.DevicePath;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop.Tests;

/// <summary>
/// A test with torch: tensors are disposed at its end, random numbers are the same at each run, and losses take the path that is asked
/// for. Tensors made without naming a device are where that path has its tensors.
/// </summary>
/// <param name="path">One of <see cref="LossPath"/>.</param>
public abstract class TorchTest(string path = LossPath.Host)
{
    private DisposeScope _scope = null!;
    private IDisposable? _path;
    private int _threads;

    /// <summary>The path that losses take.</summary>
    protected string TakenPath { get; } = path;

    [SetUp]
    public void OpenScope()
    {
        // Tensors here are tiny: on a busy machine, torch's threads would mostly wait for each other. Tests of threads set their own.
        _threads = get_num_threads();
        set_num_threads(1);
        _scope = NewDisposeScope();
        _path = LossPath.Take(TakenPath);
        manual_seed(20250923);
    }

    [TearDown]
    public void CloseScope()
    {
        _path?.Dispose();
        _scope.Dispose();
        set_num_threads(_threads);
    }

    /// <summary>Elements in logical order, whatever the dtype and strides.</summary>
    protected static double[] Values(Tensor tensor)
    {
        using Tensor copy = tensor.detach().to(ScalarType.Float64, CPU).contiguous().reshape(-1);
        return copy.data<double>().ToArray();
    }

    /// <summary>The gradient of a leaf.</summary>
    protected static Tensor Gradient(Tensor leaf) => leaf.grad ?? throw new AssertionException("There is no gradient.");

    /// <summary>The result of an operation on a leaf, equal to it in everything but that it is no leaf: what may be overwritten.</summary>
    protected static Tensor Computed(Tensor leaf) => leaf.clone();

    /// <summary>Address of the first element.</summary>
    protected static unsafe nint Address(Tensor tensor) => (nint)TensorMemory.Pointer(tensor);

    /// <summary>
    /// Asserts that results of the same input have the same bits. On the virtual machine, they may differ in the last ones: where a row
    /// lies relative to a line of 128 bytes decides which thread adds what, and torch aligns host memory to 64 bytes, a device's to 512.
    /// </summary>
    protected void AssertSameBits(double[] actual, double[] expected, ScalarType storage = ScalarType.Float32)
    {
        if (TakenPath != LossPath.Machine)
        {
            Assert.That(actual, Is.EqualTo(expected));
            return;
        }

        (double absolute, double relative) = storage switch
        {
            ScalarType.Float64 => (1e-15, 1e-12),
            ScalarType.Float32 => (1e-7, 2e-6),
            ScalarType.Float16 => (Math.ScaleB(1, -24), Math.ScaleB(1, -10)),
            _ => (1e-7, Math.ScaleB(1, -7)),
        };
        AssertClose(actual, expected, absolute, relative, "the same again");
    }

    /// <summary>Asserts |actual - expected| within absolute + relative * |expected|, infinities and NaN being themselves.</summary>
    protected static void AssertClose(Tensor actual, Tensor expected, double absolute, double relative, string what)
    {
        Assert.That(actual.shape, Is.EqualTo(expected.shape), what);
        AssertClose(Values(actual), Values(expected), absolute, relative, what);
    }

    /// <summary>The same for plain numbers.</summary>
    protected static void AssertClose(double[] actual, double[] expected, double absolute, double relative, string what)
    {
        Assert.That(actual, Has.Length.EqualTo(expected.Length), what);
        for (int i = 0; i < actual.Length; i++)
        {
            bool same = double.IsFinite(expected[i])
                ? Math.Abs(actual[i] - expected[i]) <= absolute + (relative * Math.Abs(expected[i]))
                : actual[i].Equals(expected[i]);
            if (!same)
            {
                Assert.Fail(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{what}: element {i} of {actual.Length} is {actual[i]:R}, expected {expected[i]:R}, off by {actual[i] - expected[i]:E2}."));
            }
        }
    }

    /// <summary>Asserts a loss or metric to the numeric promise for a storage type: accumulation is in float32, or float64.</summary>
    protected static void AssertLoss(Tensor actual, Tensor expected, ScalarType storage, string what)
    {
        bool wide = storage == ScalarType.Float64;
        Assert.That(actual.dtype, Is.EqualTo(wide ? ScalarType.Float64 : ScalarType.Float32), what);
        AssertClose(actual, expected, wide ? 1e-12 : 2e-6, wide ? 1e-12 : 2e-6, what);
    }

    /// <summary>Asserts a gradient to the numeric promise: float32's error, and one rounding to the storage type.</summary>
    /// <param name="actual">The gradient.</param>
    /// <param name="expected">Its exact value.</param>
    /// <param name="storage">The dtype that it must have.</param>
    /// <param name="scale">Size of the factor that the gradient was multiplied by.</param>
    /// <param name="roundings">Roundings to the storage type; more than 1 only where that is documented.</param>
    /// <param name="what">What it is a gradient of.</param>
    protected static void AssertGradient(Tensor actual, Tensor expected, ScalarType storage, double scale, string what, int roundings = 1)
    {
        Assert.That(actual.dtype, Is.EqualTo(storage), what);
        (double absolute, double relative) = storage switch
        {
            ScalarType.Float64 => (1e-12, 1e-11),
            ScalarType.Float32 => (2e-6, 1e-5),
            ScalarType.Float16 => (2e-6, 1e-5 + (roundings * Math.ScaleB(1, -11))),
            _ => (2e-6, 1e-5 + (roundings * Math.ScaleB(1, -8))),
        };
        double subnormal = storage == ScalarType.Float16 ? Math.ScaleB(1, -25) : 0;
        AssertClose(actual, expected, (absolute * scale) + subnormal, relative, what);
    }

    /// <summary>Runs an action and returns what it wrote to the error stream.</summary>
    protected static string ErrorOutput(Action action)
    {
        TextWriter before = Console.Error;
        using var writer = new StringWriter(CultureInfo.InvariantCulture);
        Console.SetError(writer);
        try
        {
            action();
        }
        finally
        {
            Console.SetError(before);
        }

        return writer.ToString();
    }
}
