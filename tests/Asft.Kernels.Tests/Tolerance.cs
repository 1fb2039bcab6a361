namespace Asft.Kernels.Tests;

/// <summary>The numeric promises of docs/design.md.</summary>
internal static class Tolerance
{
    /// <summary>Token loss, log-probability, log-sum-exp: 2e-6 relative + 2e-6 absolute; in float64 as much better as its precision.</summary>
    public static void AssertOutputs(double[] actual, double[] exact, ElementType type, string what)
    {
        double unit = type == ElementType.Float64 ? 1e-12 : 2e-6;
        AssertClose(actual, exact, unit, unit, what);
    }

    /// <summary>Gradient: 2e-6 absolute (times its scale) + 1e-5 relative, and then rounded once to the storage type.</summary>
    public static void AssertGradient(double[] actual, double[] exact, ElementType type, string what, double scale = 1)
    {
        (double absolute, double relative) = type switch
        {
            ElementType.Float64 => (1e-12, 1e-12),
            ElementType.Float32 => (2e-6, 1e-5),
            ElementType.BFloat16 => (2e-6, 1e-5 + Math.ScaleB(1, -8)),
            _ => (2e-6, 1e-5 + Math.ScaleB(1, -11)),
        };
        if (type == ElementType.Float16)
        {
            exact = [.. exact.Select(value => double.IsFinite((double)(Half)value) ? value : (double)(Half)value)]; // above 65504, infinity
        }

        AssertClose(actual, exact, absolute * scale, relative, what);
    }

    public static void AssertClose(double[] actual, double[] exact, double absolute, double relative, string what)
    {
        Assert.That(actual, Has.Length.EqualTo(exact.Length), what);
        for (int i = 0; i < exact.Length; i++)
        {
            bool close = double.IsFinite(exact[i])
                ? Math.Abs(actual[i] - exact[i]) <= absolute + (relative * Math.Abs(exact[i]))
                : actual[i].Equals(exact[i]);
            Assert.That(close, $"{what}[{i}] is {actual[i]:R}, should be {exact[i]:R} (off by {actual[i] - exact[i]:E2})");
        }
    }
}
