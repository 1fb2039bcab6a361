using Asft.Bench.Problems;
using static TorchSharp.torch;

namespace Asft.Bench.Running;

/// <summary>
/// The runtime compiles code twice, the second time better, after thirty calls and in the background. A training loop is long past
/// that; a benchmark of a few runs would not be.
/// </summary>
internal static class WarmUp
{
    private const int Calls = 40;

    private static bool s_done;

    /// <summary>Calls everything on small problems until it is as fast as it gets; once in a process.</summary>
    public static void Run()
    {
        if (s_done)
        {
            return;
        }

        s_done = true;
        foreach (BenchObjective objective in Enum.GetValues<BenchObjective>())
        {
            foreach (ScalarType type in new[] { ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16 })
            {
                using var problem = new LossProblem(new LossShape(objective, type, 517, 32, 0.25, Environment.ProcessorCount, "cpu"));
                for (int call = 0; call < Calls; call++)
                {
                    problem.Fused();
                    problem.Release();
                    problem.FusedInPlace();
                    problem.FusedForward();
                    problem.Tuned();
                    problem.Triad();
                }
            }
        }

        Thread.Sleep(TimeSpan.FromMilliseconds(300)); // for the compiler in the background
    }
}
