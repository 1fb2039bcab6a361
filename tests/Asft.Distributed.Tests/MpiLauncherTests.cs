using Asft.Distributed.Mpi;

namespace Asft.Distributed.Tests;

/// <summary>What launchers leave in the environment.</summary>
public class MpiLauncherTests
{
    [TestCase("", null, null)]
    [TestCase("OMPI_COMM_WORLD_SIZE=3 PMIX_RANK=0", MpiKind.OpenMpi, 3)]
    [TestCase("PMI_SIZE=2 PMI_RANK=1", MpiKind.Mpich, 2)]
    [TestCase("PMIX_RANK=5 SLURM_STEP_NUM_TASKS=8", MpiKind.OpenMpi, 8)]
    [TestCase("PMI_SIZE=4 SLURM_STEP_NUM_TASKS=4", MpiKind.Mpich, 4)]
    [TestCase("ASFT_MPI=abi PMI_SIZE=2", MpiKind.StandardAbi, 2)]
    [TestCase("ASFT_MPI=mpich OMPI_COMM_WORLD_SIZE=2", MpiKind.Mpich, 2)]
    [TestCase("ASFT_MPI=openmpi", MpiKind.OpenMpi, null)]
    [TestCase("SLURM_STEP_NUM_TASKS=2", null, null)]
    public void IsFound(string environment, object? kind, int? size) // the kind is internal
    {
        var variables = environment.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(pair => pair.Split('=')).ToDictionary(pair => pair[0], pair => pair[1]);
        MpiLauncher? launcher = MpiLauncher.Find(variables.GetValueOrDefault);
        Assert.That(launcher?.Kind, Is.EqualTo(kind));
        Assert.That(launcher?.Size, Is.EqualTo(size));
    }

    [Test]
    public void NoSuchLibrary() => Assert.That(
        () => MpiLauncher.Find(name => name == "ASFT_MPI" ? "/no/such/libmpi.so" : null),
        Throws.InvalidOperationException.With.Message.Contains("/no/such/libmpi.so"));
}
