using System.Runtime.InteropServices;
using Asft.PtxVm.Memory;

namespace Asft.PtxVm.Execution;

/// <summary>Registers, local and shared memory of one block.</summary>
internal sealed unsafe class BlockMemory(byte* registers, byte* local, byte* sharedBase, Region shared)
{
    /// <summary>Of all warps, one after another.</summary>
    public byte* Registers { get; } = registers;

    /// <summary>Of all threads, one after another.</summary>
    public byte* Local { get; } = local;

    public byte* SharedBase { get; } = sharedBase;

    public Region Shared { get; } = shared;
}

/// <summary>
/// What a launch needs while it runs: the memory of the blocks that run at the same time, the parameter, checks and counts.
/// </summary>
internal sealed unsafe class LaunchMemory : IDisposable
{
    private const int Alignment = 64;

    private readonly void* _memory;
    private readonly int _instructions;

    public LaunchMemory(
        Kernel kernel, MachineMemory memory, PtxMachineOptions options, int warps, int sharedBytes, int blocks,
        ReadOnlySpan<byte> parameters)
    {
        RegisterBytes = (kernel.Registers.Length + 63) / 64 * 64;
        _instructions = kernel.Instructions.Length;
        var local = (long)kernel.LocalBytes * 32 * warps;
        var registers = (long)RegisterBytes * warps;
        var profile = _instructions * 16L;
        var room = blocks * (Rounded(registers) + Rounded(local) + Rounded(sharedBytes)) + Rounded(parameters.Length) + profile;
        _memory = NativeMemory.AlignedAlloc((nuint)room, Alignment);
        var next = (byte*)_memory;
        byte* Take(long bytes)
        {
            var here = next;
            next += Rounded(bytes);
            return here;
        }

        var initialization = options.Checks.HasFlag(PtxChecks.Initialization);
        Blocks = new BlockMemory[blocks];
        for (var i = 0; i < blocks; i++)
        {
            Blocks[i] = new BlockMemory(
                Take(registers), Take(local), Take(sharedBytes), new Region(0, sharedBytes, "shared memory", isShared: true));
            NativeMemory.Fill(Blocks[i].Local, (nuint)local, 0xEF);
            if (initialization && sharedBytes > 0)
            {
                Blocks[i].Shared.TrackWrites(written: false);
            }
        }

        Parameters = Take(parameters.Length);
        Profile = (long*)Take(profile);
        NativeMemory.Clear(Profile, (nuint)profile);
        parameters.CopyTo(new Span<byte>(Parameters, parameters.Length));

        Counts = new LaunchCounts(kernel.Name) { Launches = 1 };
        Races = options.Checks.HasFlag(PtxChecks.Races)
            ? new RaceChecks(kernel.SmallestGlobalAccess, kernel.SmallestSharedAccess)
            : null;
        Access = new AccessChecks(memory, Counts, Races, initialization, options.Counts);
    }

    /// <summary>The blocks that run at the same time.</summary>
    public BlockMemory[] Blocks { get; }

    public int RegisterBytes { get; }

    public byte* Parameters { get; }

    public long* Profile { get; }

    public LaunchCounts Counts { get; }

    public RaceChecks? Races { get; }

    public AccessChecks Access { get; }

    private static long Rounded(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;

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
        foreach (var block in Blocks)
        {
            block.Shared.Free();
        }

        NativeMemory.AlignedFree(_memory);
    }
}
