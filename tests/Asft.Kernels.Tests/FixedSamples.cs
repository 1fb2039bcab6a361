using System.Runtime.ExceptionServices;
using CsCheck;

namespace Asft.Kernels.Tests;

/// <summary>
/// Random cases that are the same at each run: CsCheck's own sampling takes its seed for the first case alone. ASFT_RANDOM_CASES asks for more of
/// them where a test lets it (<see cref="RandomCase.Cases"/>).
/// </summary>
internal static class FixedSamples
{
    /// <summary>The cases.</summary>
    public static IEnumerable<T> Samples<T>(this Gen<T> gen, long count)
    {
        var random = new PCG(1, 2_509_237_53);
        for (long i = 0; i < count; i++)
        {
            yield return gen.Generate(random, null, out _);
        }
    }

    /// <summary>Checks each case; what fails first is told with the case that it fails on.</summary>
    public static void ForEach<T>(this Gen<T> gen, long count, Action<T> check, int threads = -1)
    {
        Exception? first = null;
        Parallel.ForEach(gen.Samples(count).Select((item, index) => (Index: index, Item: item)), new ParallelOptions { MaxDegreeOfParallelism = threads }, (sample, loop) =>
        {
            try
            {
                check(sample.Item);
            }
            catch (Exception error)
            {
                Interlocked.CompareExchange(ref first, new AssertionException($"Sample {sample.Index}, {sample.Item}: {error.Message}", error), null);
                loop.Stop();
            }
        });
        if (first is not null)
        {
            ExceptionDispatchInfo.Throw(first);
        }
    }

    /// <summary>The same of pairs.</summary>
    public static void ForEach<T1, T2>(this Gen<(T1 First, T2 Second)> gen, long count, Action<T1, T2> check, int threads = -1) =>
        gen.ForEach(count, pair => check(pair.First, pair.Second), threads);

    /// <summary>The same of triples.</summary>
    public static void ForEach<T1, T2, T3>(this Gen<(T1 First, T2 Second, T3 Third)> gen, long count, Action<T1, T2, T3> check, int threads = -1) =>
        gen.ForEach(count, triple => check(triple.First, triple.Second, triple.Third), threads);
}
