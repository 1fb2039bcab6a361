using System.Globalization;

namespace Asft.Distributed.Mpi;

/// <summary>How handles of an MPI look, and what its library is called.</summary>
internal enum MpiKind
{
    /// <summary>Handles are addresses of what the library exports.</summary>
    OpenMpi,

    /// <summary>Handles are integers: MPICH, and what has its ABI (Intel MPI, MVAPICH, Cray MPICH).</summary>
    Mpich,

    /// <summary>Handles are the small numbers of the standard ABI of MPI 5.</summary>
    StandardAbi,
}

/// <summary>What is known of the MPI that launched this process.</summary>
/// <param name="Kind">Which it is; null where only a library is known.</param>
/// <param name="Libraries">Names or paths of its library, the most likely first.</param>
/// <param name="Size">How many ranks the launcher says there are; null if it does not.</param>
internal sealed record MpiLauncher(MpiKind? Kind, string[] Libraries, int? Size)
{
    private const string Choice = "ASFT_MPI";

    private static readonly string[] s_openMpi = ["libmpi.so.40", "libmpi.so", "libmpi.dylib"];
    private static readonly string[] s_mpich = ["libmpich.so.12", "libmpi.so.12", "libmpi.12.dylib"];
    private static readonly string[] s_abi = ["libmpi_abi.so.1", "libmpi_abi.so.0", "libmpi_abi.so", "libmpi_abi.dylib"];

    /// <summary>Finds out who launched this process; null if nobody did.</summary>
    /// <param name="variable">The environment.</param>
    /// <exception cref="InvalidOperationException"><c>ASFT_MPI</c> names a library that is not there.</exception>
    public static MpiLauncher? Find(Func<string, string?> variable)
    {
        int? openMpi = Number("OMPI_COMM_WORLD_SIZE");
        int? hydra = Number("PMI_SIZE");

        // Slurm's step has as many tasks as ranks; its plug-in says how they are to find each other.
        int? slurm = variable("PMIX_RANK") is not null || hydra is not null ? Number("SLURM_STEP_NUM_TASKS") : null;
        int? size = openMpi ?? hydra ?? slurm;
        switch (variable(Choice))
        {
            case null or "":
                return openMpi is not null || (hydra is null && variable("PMIX_RANK") is not null) ? new(MpiKind.OpenMpi, s_openMpi, size)
                    : hydra is not null ? new(MpiKind.Mpich, s_mpich, size) : null;
            case "openmpi":
                return new(MpiKind.OpenMpi, s_openMpi, size);
            case "mpich":
                return new(MpiKind.Mpich, s_mpich, size);
            case "abi":
                return new(MpiKind.StandardAbi, s_abi, size);
            case string path:
                return File.Exists(path) ? new(null, [path], size) : throw new InvalidOperationException(
                    $"{Choice} is \"{path}\", which is none of openmpi, mpich and abi, and no file.");
        }

        int? Number(string name) =>
            int.TryParse(variable(name), NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : null;
    }
}
