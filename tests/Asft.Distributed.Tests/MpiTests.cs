namespace Asft.Distributed.Tests;

/// <summary>The scenarios on ranks that are processes, by both engines.</summary>
public class MpiTests
{
    [Test]
    public void Scenarios([ValueSource(typeof(MpiJob), nameof(MpiJob.Launchers))] string launcher, [Values(1, 2, 3, 4)] int ranks)
    {
        MpiJob.Outcome job = MpiJob.Run(launcher, ranks, null, [.. Ranks.Scenarios.All.Keys]);
        Assert.That(job.ExitCode, Is.Zero, job.Output);
        Assert.That(job.Output, Does.Contain($"{ranks} ranks are done"), job.Output);
    }

    /// <summary>A job that is run again has the same bits, of losses and of gradients, on every rank.</summary>
    [Test]
    public void TheSameBitsAgain([ValueSource(typeof(MpiJob), nameof(MpiJob.Launchers))] string launcher)
    {
        string[] first = Bits();
        Assert.That(first, Has.Length.EqualTo(3 * 3), "three objectives, three ranks");
        Assert.That(Bits(), Is.EqualTo(first));

        string[] Bits()
        {
            MpiJob.Outcome job = MpiJob.Run(launcher, 3, null, "bits");
            Assert.That(job.ExitCode, Is.Zero, job.Output);

            // From there on: a terminal's control codes may come before.
            const string Begin = "bits of rank";
            return
            [
                .. job.Output.Split('\n').Where(line => line.Contains(Begin, StringComparison.Ordinal))
                    .Select(line => line[line.IndexOf(Begin, StringComparison.Ordinal)..]).Order(StringComparer.Ordinal),
            ];
        }
    }

    /// <summary>Some hundred steps leave nothing behind.</summary>
    [Test]
    public void MemoryDoesNotGrow([ValueSource(typeof(MpiJob), nameof(MpiJob.Launchers))] string launcher)
    {
        MpiJob.Outcome job = MpiJob.Run(launcher, 2, null, "endurance");
        Assert.That(job.ExitCode, Is.Zero, job.Output);
    }

    /// <summary>A rank that fails ends the job, and the job fails; the message is there.</summary>
    [Test]
    public void FaultsEndTheJob(
        [ValueSource(typeof(MpiJob), nameof(MpiJob.Launchers))] string launcher,
        [Values("throw", "caught-throw", "kill", "stuck", "leave")] string fault)
    {
        MpiJob.Outcome job = MpiJob.Run(launcher, 2, null, "fault", fault);
        Assert.That(job.ExitCode, Is.Not.Zero, job.Output);
        Assert.That(job.Output, Does.Contain("fault at"), "It began.");
        Assert.That(job.Output, Does.Contain(fault switch
        {
            "throw" => "rank 1 of 2 ends with System.InvalidTimeZoneException: the message of the exception",
            "caught-throw" => "rank 1 of 2 left its group before Complete(), after System.InvalidTimeZoneException: the message of the exception",
            "stuck" => "rank 0 of 2 has waited for 2 s in a barrier",
            "leave" => "rank 1 of 2 ends before Complete(), with exit code 0",
            _ => string.Empty, // a killed one says nothing
        }));
    }

    /// <summary>The library of another MPI than the launcher's is found out, where each rank would be alone.</summary>
    [Test]
    public void AnotherLibraryThanTheLaunchers([ValueSource(typeof(MpiJob), nameof(MpiJob.Launchers))] string launcher)
    {
        Array.ForEach(MpiJob.Launchers, MpiJob.SkipWithout);
        string other = launcher == MpiJob.OpenMpi ? "mpich" : "openmpi";
        MpiJob.Outcome job = MpiJob.Run(launcher, 2, new Dictionary<string, string> { ["ASFT_MPI"] = other }, "collectives");
        Assert.That(job.ExitCode, Is.Not.Zero, job.Output);
        Assert.That(job.Output, Does.Contain("The launcher started 2 ranks, but").And.Contain("finds 1"), job.Output);
    }
}
