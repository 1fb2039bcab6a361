using Asft.Interop;
using static TorchSharp.torch;

namespace Asft.Distributed.Ranks;

/// <summary>What a rank asserts.</summary>
internal static class Expect
{
    /// <summary>Fails unless a condition holds.</summary>
    public static void That(bool condition, FormattableString what)
    {
        if (!condition)
        {
            throw new ScenarioException(FormattableString.Invariant(what));
        }
    }

    /// <summary>Fails unless two numbers are the same, or both NaN.</summary>
    public static void Same(double actual, double expected, string what, int place)
    {
        if (!actual.Equals(expected))
        {
            throw new ScenarioException(FormattableString.Invariant($"{what} {place} is {actual:R}, not {expected:R}"));
        }
    }

    /// <summary>Fails unless |actual - expected| is within absolute + relative*|expected|, infinities and NaN being themselves.</summary>
    public static void Close(Tensor actual, Tensor expected, double absolute, double relative, string what)
    {
        That(actual.shape.SequenceEqual(expected.shape), $"{what}: shape {actual}, not {expected}");
        double[] a = Values(actual);
        double[] e = Values(expected);
        for (int i = 0; i < a.Length; i++)
        {
            bool same = double.IsFinite(e[i]) ? Math.Abs(a[i] - e[i]) <= absolute + (relative * Math.Abs(e[i])) : a[i].Equals(e[i]);
            if (!same)
            {
                That(false, $"{what}: element {i} of {a.Length} is {a[i]:R}, expected {e[i]:R}, off by {a[i] - e[i]:E2}");
            }
        }
    }

    /// <summary>Fails unless every rank has the same bits.</summary>
    public static void SameBits(IProcessGroup group, Tensor tensor, string what)
    {
        using var scope = NewDisposeScope();
        Tensor all = GroupMemory.Gather(group, tensor.detach().contiguous());
        byte[] first = all[0].bytes.ToArray();
        That(
            Enumerable.Range(1, group.Size - 1).All(rank => all[rank].bytes.SequenceEqual(first)),
            $"{what}: the bits of the ranks differ");
    }

    private static double[] Values(Tensor tensor)
    {
        using Tensor copy = tensor.detach().to(ScalarType.Float64).contiguous().reshape(-1);
        return copy.data<double>().ToArray();
    }
}
