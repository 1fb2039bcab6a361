namespace Asft.Kernels.Cpu;

/// <summary>The threads that loops are run by.</summary>
internal abstract class ThreadTeam
{
    /// <summary>Largest number of threads, the calling one among them; at least 1.</summary>
    public abstract int Threads { get; }

    /// <summary>Calls <see cref="ParallelRowLoop.Work"/> on some threads at once, and returns when all of them have returned from it.</summary>
    /// <param name="loop">The loop.</param>
    /// <param name="threads">How many threads at most, the calling one among them; from 2 to <see cref="Threads"/>.</param>
    public abstract void Run(ParallelRowLoop loop, int threads);
}
