using Asft.Distributed;
using Asft.Distributed.Ranks;
using Asft.Interop;

// A scenario for each argument; "bits" for checksums; "endurance", or "long" with more steps, for growing memory; "measure" for figures; or "fault" and one
// of the faults, which "caught-" lets the program catch, as a command line does.
if (args is ["fault", var fault])
{
    bool isCaught = fault.StartsWith("caught-", StringComparison.Ordinal);
    try
    {
        using IProcessGroup broken = ProcessGroup.Join(TimeSpan.FromSeconds(fault == "stuck" ? 2 : 60));
        Faults.Run(broken, Faults.All[isCaught ? fault["caught-".Length..] : fault]);
        broken.Complete();
    }
    catch (InvalidTimeZoneException) when (isCaught)
    {
    }

    return;
}

using IProcessGroup group = ProcessGroup.Join(TimeSpan.FromMinutes(2));
TorchSharp.torch.set_num_threads(1);
foreach (string name in args)
{
    Action<IProcessGroup> scenario = name switch
    {
        "bits" => Bits.Run,
        "endurance" => static group => Endurance.Run(group, steps: 400),
        "long" => static group => Endurance.Run(group, steps: 10_000),
        "measure" => Measurements.Run,
        _ => Scenarios.All[name],
    };
    scenario(group);
}

group.Complete();
if (group.Rank == 0)
{
    Console.WriteLine(FormattableString.Invariant($"{group.Size} ranks are done"));
}
