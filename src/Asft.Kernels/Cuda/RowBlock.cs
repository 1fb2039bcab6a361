namespace Asft.Kernels.Cuda;

/// <summary>
/// How many threads work on a row. With 512 a multiprocessor has two rows at a time, so that one computes while the other waits for its
/// threads to meet. A gradient reads its row twice, and the second time from the L2 cache only if the rows of all multiprocessors fit
/// there; where they are too long for that, 1024 threads take one row at a time.
/// </summary>
internal static class RowBlock
{
    /// <summary>
    /// Two rows for each multiprocessor of an A100 (108, 40 MB of L2) or an H100 (132, 50 MB) fit its L2 up to about this length.
    /// </summary>
    private const long LongRowBytes = 190 << 10;

    /// <summary>Threads of a block that computes loss and gradient of a row.</summary>
    /// <param name="problem">The problem.</param>
    /// <param name="readsReference">Whether the reference is read.</param>
    /// <returns>512 or 1024.</returns>
    public static uint Of(in TokenProblem problem, bool readsReference)
    {
        int bytes = problem.Logits.Type.SizeInBytes() + (readsReference ? problem.Reference.Type.SizeInBytes() : 0);
        bool isLong = problem.Logits.Type != ElementType.Float64 && problem.Vocabulary * bytes > LongRowBytes;
        return isLong ? (uint)KernelConstants.LongRowThreads : KernelConstants.RowThreads;
    }
}
