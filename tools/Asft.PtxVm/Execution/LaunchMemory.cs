using System.Runtime.InteropServices;
using Asft.PtxVm.Memory;

namespace Asft.PtxVm.Execution;

/// <summary>
/// What a launch needs while it runs: registers, local and shared memory of one block, the parameter, checks and counts.
/// </summary>
internal sealed unsafe class LaunchMemory : IDisposable
{
    private readonly void* _memory;
    private readonly int _instructions;

    public LaunchMemory(
        Kernel kernel, MachineMemory memory, PtxMachineOptions options, int warps, int sharedBytes, ReadOnlySpan<byte> parameters)
    {
        RegisterBytes = (kernel.Registers.Length + 63) / 64 * 64;
        _instructions = kernel.Instructions.Length;
        var local = (long)kernel.LocalBytes * 32 * warps;
        var sizes = new[] { (long)RegisterBytes * warps, local, sharedBytes, parameters.Length, _instructions * 16L };
        _memory = NativeMemory.AlignedAlloc((nuint)(sizes.Sum() + sizes.Length * 64 + 64), 64);
        var next = (byte*)_memory;
        byte* Take(long bytes)
        {
            var here = next;
            next += (bytes + 63) / 64 * 64;
            return here;
        }

        Registers = Take(sizes[0]);
        Local = Take(local);
        SharedBase = Take(sharedBytes);
        Parameters = Take(parameters.Length);
        Profile = (long*)Take(sizes[4]);
        NativeMemory.Fill(Local, (nuint)local, 0xEF);
        NativeMemory.Clear(Profile, (nuint)sizes[4]);
        parameters.CopyTo(new Span<byte>(Parameters, parameters.Length));

        Counts = new LaunchCounts(kernel.Name) { Launches = 1 };
        Shared = new Region(0, sharedBytes, "shared memory", isShared: true);
        var initialization = options.Checks.HasFlag(PtxChecks.Initialization);
        if (initialization && sharedBytes > 0)
        {
            Shared.TrackWrites(written: false);
        }

        Races = options.Checks.HasFlag(PtxChecks.Races)
            ? new RaceChecks(kernel.SmallestGlobalAccess, kernel.SmallestSharedAccess)
            : null;
        Access = new AccessChecks(memory, Shared, Counts, Races, initialization, options.Counts);
    }

    public byte* Registers { get; }

    public int RegisterBytes { get; }

    public byte* Local { get; }

    public byte* SharedBase { get; }

    public byte* Parameters { get; }

    public long* Profile { get; }

    public LaunchCounts Counts { get; }

    public Region Shared { get; }

    public RaceChecks? Races { get; }

    public AccessChecks Access { get; }

    /// <summary>Adds what the instructions' counters hold to the counts.</summary>
    public void CountInstructions(Kernel kernel)
    {
        for (var i = 0; i < _instructions; i++)
        {
            Counts.Count(kernel.Instructions[i].Class, Profile[2 * i], Profile[2 * i + 1]);
        }
    }

    public void Dispose()
    {
        Shared.Free();
        NativeMemory.AlignedFree(_memory);
    }
}
