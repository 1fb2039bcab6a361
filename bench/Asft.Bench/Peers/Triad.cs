using System.Runtime.Intrinsics;

namespace Asft.Bench.Peers;

/// <summary>
/// The machine's limit: <c>c = a + b</c>, three streams through memory and next to no arithmetic, one contiguous part per thread
/// (after the STREAM benchmark). A forward and backward pass in place moves as many streams: two in, one out.
/// </summary>
public static unsafe class Triad
{
    public static void Run(float* a, float* b, float* c, long count, int threads)
    {
        long part = (count / threads + 15) / 16 * 16;
        Parallel.For(0, threads, new ParallelOptions { MaxDegreeOfParallelism = threads }, i =>
        {
            long start = Math.Min(i * part, count);
            Add(a + start, b + start, c + start, Math.Min(part, count - start));
        });
    }

    private static void Add(float* a, float* b, float* c, long count)
    {
        long i = 0;
        for (; i <= count - Vector512<float>.Count; i += Vector512<float>.Count)
        {
            (Vector512.Load(a + i) + Vector512.Load(b + i)).Store(c + i);
        }

        for (; i < count; i++)
        {
            c[i] = a[i] + b[i];
        }
    }
}
