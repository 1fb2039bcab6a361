using Asft.Interop;
using Asft.Kernels;

namespace Asft.Distributed.Ranks;

/// <summary>Every collective, at sizes on both sides of where an engine changes its way.</summary>
internal static unsafe class Collectives
{
    private static readonly int[] s_counts = [0, 1, 7, 1000, 4096, 4099, 50_001, 1_100_003];

    public static void Run(IProcessGroup group)
    {
        foreach (int count in s_counts)
        {
            Reduced(group, count);
            Gathered(group, count);
            GivenByEach(group, count);
        }

        group.Barrier();
        NullReference();
    }

    /// <summary>What a rank has at a place: numbers that float32 does not add exactly, so that the order shows.</summary>
    private static double Value(int rank, int i) => (((i * 31) + (rank * 17)) % 1009 / 1009.0) + (rank == 1 ? 1000 : 0);

    private static void Reduced(IProcessGroup group, int count)
    {
        double[] wide = [.. Enumerable.Range(0, count).Select(i => Value(group.Rank, i))];
        float[] narrow = [.. wide.Select(value => (float)value)];
        Half[] half = [.. wide.Select(value => (Half)value)];
        double[] largest = [.. wide.Select((value, i) => i == 5 && group.Rank == group.Size - 1 ? double.NaN : value)];
        fixed (void* a = wide, b = narrow, c = half, d = largest)
        {
            group.AllReduce(a, count, ElementType.Float64, ReduceOperation.Sum);
            group.AllReduce(b, count, ElementType.Float32, ReduceOperation.Sum);
            group.AllReduce(c, count, ElementType.Float16, ReduceOperation.Sum);
            group.AllReduce(d, count, ElementType.Float64, ReduceOperation.Max);
        }

        for (int i = 0; i < count; i++)
        {
            double sum = Value(0, i);
            float single = (float)sum;
            float halves = (float)(Half)sum;
            double max = sum;
            for (int rank = 1; rank < group.Size; rank++)
            {
                double value = Value(rank, i);
                sum += value;
                single += (float)value;
                halves += (float)(Half)value;
                max = Math.Max(max, value);
            }

            max = i == 5 ? double.NaN : max;
            Expect.Same(wide[i], sum, "float64 sum", i);
            Expect.Same(narrow[i], single, "float32 sum", i);
            Expect.Same((double)half[i], (double)(Half)halves, "float16 sum", i);
            Expect.Same(largest[i], max, "maximum", i);
        }
    }

    private static void Gathered(IProcessGroup group, int count)
    {
        byte[] own = [.. Enumerable.Range(0, count).Select(i => (byte)Value(group.Rank, i + 1))];
        byte[] all = new byte[count * group.Size];
        fixed (void* from = own, to = all)
        {
            group.AllGather(from, to, count);
        }

        for (int i = 0; i < all.Length; i++)
        {
            Expect.Same(all[i], (byte)Value(i / count, (i % count) + 1), "gathered byte", i);
        }
    }

    private static void GivenByEach(IProcessGroup group, int count)
    {
        for (int root = 0; root < group.Size; root++)
        {
            byte[] data = [.. Enumerable.Range(0, count).Select(i => (byte)(group.Rank + i))];
            fixed (void* first = data)
            {
                group.Broadcast(first, count, root);
            }

            for (int i = 0; i < count; i++)
            {
                Expect.Same(data[i], (byte)(root + i), "byte given by a rank", i);
            }
        }
    }

    /// <summary>The engine has left the signal to .NET that a null reference is found by.</summary>
    private static void NullReference()
    {
        string? nothing = Environment.GetEnvironmentVariable("ASFT_NO_SUCH_VARIABLE");
        try
        {
            Expect.That(nothing!.Length < 0, $"there is such a variable");
        }
        catch (NullReferenceException)
        {
        }
    }
}
