using Asft.Distributed.Mpi;
using Asft.Interop;

namespace Asft.Distributed;

/// <summary>How a program comes to its group.</summary>
public static class ProcessGroup
{
    /// <summary>
    /// Joins the MPI job that this process was launched in: by <c>mpirun</c> or <c>mpiexec</c> of Open MPI or MPICH, or by Slurm's <c>srun</c>. Where
    /// nothing launched it, the group is this process alone. Call it once, before other work, and <see cref="IProcessGroup.Complete"/> at the end.
    /// </summary>
    /// <param name="timeout">How long a rank waits in a collective for the others before it ends the job; null for 10 minutes.</param>
    /// <returns>The group, to be disposed when it is completed.</returns>
    /// <remarks>
    /// <para>
    /// The launcher tells by what it leaves in the environment which MPI it belongs to. Where that is not enough, <c>ASFT_MPI</c> says it:
    /// <c>openmpi</c>, <c>mpich</c>, <c>abi</c> (the standard ABI of MPI 5), or the path of a library.
    /// </para>
    /// <para>
    /// From then on the job ends as a whole: with an exception that nobody catches, with a group that is disposed before it is completed, with a
    /// program that ends before that whatever its exit code, and with a collective that nobody answers in time. What happened is on the error stream.
    /// </para>
    /// </remarks>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is not above 0.</exception>
    /// <exception cref="DllNotFoundException">The library of the MPI that launched this process was not found.</exception>
    /// <exception cref="InvalidOperationException">The process has joined already, or the library found is not that of the launcher.</exception>
    public static IProcessGroup Join(TimeSpan? timeout = null)
    {
        TimeSpan limit = timeout ?? TimeSpan.FromMinutes(10);
        if (limit <= TimeSpan.Zero)
        {
            throw new ArgumentOutOfRangeException(nameof(timeout), limit, Invariant($"timeout must be above 0; got {limit}."));
        }

        return MpiLauncher.Find(Environment.GetEnvironmentVariable) is { } launcher ? MpiGroup.Join(launcher, limit) : new LocalGroup();
    }
}
