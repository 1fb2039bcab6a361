using System.Numerics;
using System.Runtime.CompilerServices;

namespace Asft.PtxVm.Execution;

internal enum WarpState
{
    Running,
    AtBarrier,
    AtClusterBarrier,
    Done,
}

/// <summary>
/// 32 threads that run together. Threads that part at a branch run one part after the other and meet again at the branch's immediate
/// post-dominator: a stack holds what is left to run, as (instruction, threads, where they meet).
/// </summary>
internal sealed unsafe class Warp(Kernel kernel, Block block, int index)
{
    private readonly Instruction[] _code = kernel.Instructions;
    private readonly Stack<(int Pc, uint Mask, int Meeting)> _stack = new();
    private int _meeting = -1;
    private int _fullSync;
    private int[]? _pairSync;

    public int Index { get; } = index;

    public Block Block { get; } = block;

    /// <summary>Register r of lane l: 32 lanes side by side from the register's offset; a predicate is one mask.</summary>
    public byte* Registers { get; init; }

    /// <summary>Local memory, thread after thread.</summary>
    public byte* Local { get; init; }

    public int Pc { get; private set; }

    public uint Active { get; private set; }

    /// <summary>Threads that have not ended.</summary>
    public uint Live { get; private set; }

    public WarpState State { get; set; }

    public long Executed { get; private set; }

    /// <summary>Counts synchronisations; the race checks' time.</summary>
    public int Time { get; private set; }

    /// <summary>How often it has arrived at the barrier of the cluster, and has waited there.</summary>
    public int Arrived { get; private set; }

    public int Waited { get; private set; }

    /// <summary>The race checks' name for what the warp does until its next synchronisation; 0 for none yet.</summary>
    public int Segment { get; set; }

    public void Start(uint lanes)
    {
        Pc = 0;
        Active = Live = lanes;
        State = WarpState.Running;
        Executed = 0;
        Time = 1;
        Arrived = Waited = 0;
        Segment = 0;
        _fullSync = 0;
        _pairSync?.AsSpan().Clear();
        _meeting = -1;
        _stack.Clear();
    }

    /// <summary>Runs some instructions, or to the next barrier or the end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Run(int instructions)
    {
        var profile = Block.Profile;
        var left = instructions;
        for (; left > 0; left--)
        {
            var instruction = _code[Pc];
            var mask = Active;
            if (instruction.Guard >= 0)
            {
                var guard = *(uint*)(Registers + instruction.Guard);
                mask &= instruction.GuardNegated ? ~guard : guard;
            }

            profile[2 * Pc]++;
            profile[2 * Pc + 1] += BitOperations.PopCount(mask);
            if (instruction.IsWatched)
            {
                Watch(instruction, mask);
            }

            switch (instruction.Kind)
            {
                case InstructionKind.Plain:
                    if (mask != 0)
                    {
                        instruction.Operation!.Execute(this, mask);
                    }

                    Pc++;
                    break;
                case InstructionKind.Branch:
                    Branch(instruction, mask);
                    break;
                case InstructionKind.IndexedBranch:
                    IndexedBranch(instruction, mask);
                    break;
                case InstructionKind.Exit:
                    Live &= ~mask;
                    Active &= ~mask;
                    Pc++;
                    if (Active == 0 && !Resume())
                    {
                        State = WarpState.Done;
                        Executed += instructions - left + 1;
                        return;
                    }

                    break;
                default:
                    if (mask == 0)
                    {
                        Pc++;
                        break;
                    }

                    if (mask != Live)
                    {
                        var absent = BitOperations.TrailingZeroCount(Live & ~mask);
                        throw Fault(
                            PtxFaultKind.DivergentBarrier, absent, null,
                            $"a barrier that threads {Name(mask)} of the warp reach without threads {Name(Live & ~mask)}");
                    }

                    if (instruction.Kind == InstructionKind.ClusterArrive)
                    {
                        ArriveAtCluster();
                        Pc++;
                        break;
                    }

                    if (instruction.Kind == InstructionKind.ClusterWait)
                    {
                        if (Arrived == Waited)
                        {
                            throw Fault(PtxFaultKind.ClusterBarrier, 0, null, "a wait at the cluster's barrier without an arrival there");
                        }

                        State = WarpState.AtClusterBarrier;
                    }
                    else
                    {
                        Block.Arrive(this, instruction);
                        State = WarpState.AtBarrier;
                    }

                    Executed += instructions - left + 1;
                    return;
            }

            while (Pc == _meeting && Resume())
            {
            }
        }

        Executed += instructions;
    }

    /// <summary>Goes on after a barrier, which orders everything before it.</summary>
    public void Release()
    {
        Synchronize(uint.MaxValue);
        GoOn();
    }

    /// <summary>Goes on after the cluster's barrier, which orders everything before the arrivals there.</summary>
    public void ReleaseFromCluster()
    {
        Waited++;
        GoOn();
    }

    private void GoOn()
    {
        State = WarpState.Running;
        Pc++;
        while (Pc == _meeting && Resume())
        {
        }
    }

    private void ArriveAtCluster()
    {
        if (Arrived != Waited)
        {
            throw Fault(PtxFaultKind.ClusterBarrier, 0, null, "a second arrival at the cluster's barrier without a wait there");
        }

        var ended = Block.LanesOf(Index) & ~Live;
        if (ended != 0)
        {
            throw Fault(
                PtxFaultKind.ClusterBarrier, BitOperations.TrailingZeroCount(ended), null,
                $"a barrier of the cluster that threads {Name(ended)} of the warp never reach: they have ended");
        }

        Arrived++;
        Segment = 0;
    }

    /// <summary>Notes that threads of the warp waited for each other.</summary>
    public void Synchronize(uint mask)
    {
        Time++;
        Segment = 0;
        if ((Live & ~mask) == 0)
        {
            _fullSync = Time;
            return;
        }

        _pairSync ??= new int[32 * 32];
        for (var one = mask; one != 0; one &= one - 1)
        {
            for (var other = mask; other != 0; other &= other - 1)
            {
                _pairSync[BitOperations.TrailingZeroCount(one) * 32 + BitOperations.TrailingZeroCount(other)] = Time;
            }
        }
    }

    /// <summary>
    /// Before when everything one lane did is ordered before what the other does now; lane 32 stands for several.
    /// </summary>
    public int SynchronizedBefore(int one, int other) =>
        _pairSync is null || one >= 32 ? _fullSync : Math.Max(_fullSync, _pairSync[one * 32 + other]);

    public PtxFaultException Fault(PtxFaultKind kind, int lane, ulong? address, string what)
    {
        var instruction = _code[Math.Min(Pc, _code.Length - 1)]; // a warp that has ended is behind its last
        return new PtxFaultException(
            kind, kernel.Name, instruction.Line, instruction.Text, Block.Place, Index * 32 + lane, address, what);
    }

    /// <summary>The threads of a mask, for messages.</summary>
    public string Name(uint mask)
    {
        var names = new List<string>();
        for (var lane = 0; lane < 32; lane++)
        {
            if ((mask >> lane & 1) == 0)
            {
                continue;
            }

            var last = lane;
            while (last < 31 && (mask >> last + 1 & 1) != 0)
            {
                last++;
            }

            names.Add(last == lane ? $"{Index * 32 + lane}" : $"{Index * 32 + lane}-{Index * 32 + last}");
            lane = last;
        }

        return string.Join(", ", names);
    }

    private void Branch(Instruction branch, uint taken)
    {
        var stay = Active & ~taken;
        if (taken == 0)
        {
            Pc++;
            return;
        }

        if (stay != 0)
        {
            Block.Counts.DivergentBranches++;
            Part(branch.Reconvergence);
            Defer(Pc + 1, stay);
            Active = taken;
        }

        Pc = branch.Target;
    }

    private void IndexedBranch(Instruction branch, uint mask)
    {
        var index = (uint*)(Registers + branch.First);
        var (pc, active) = (Pc, Active);
        var first = true;
        for (var left = mask; left != 0;)
        {
            var lane = BitOperations.TrailingZeroCount(left);
            if (index[lane] >= branch.Targets.Length)
            {
                throw Fault(PtxFaultKind.OutOfBounds, lane, null, $"branch target {index[lane]} of {branch.Targets.Length}");
            }

            var same = 0u;
            for (var other = left; other != 0; other &= other - 1)
            {
                same |= index[BitOperations.TrailingZeroCount(other)] == index[lane] ? other & (~other + 1) : 0;
            }

            if (first && same != active)
            {
                Block.Counts.DivergentBranches++;
                Part(branch.Reconvergence);
                if ((active & ~mask) != 0)
                {
                    Defer(pc + 1, active & ~mask);
                }
            }

            left &= ~same;
            first = false;
            if (left != 0)
            {
                Defer(branch.Targets[index[lane]], same);
            }
            else
            {
                Pc = branch.Targets[index[lane]];
                Active = same;
            }
        }

        if (mask == 0)
        {
            Pc++;
        }
    }

    // Puts down that all active threads go on from the meeting point, unless that is where they go already.
    private void Part(int meeting)
    {
        if (meeting != _meeting || meeting < 0)
        {
            _stack.Push((meeting, Active, _meeting));
            _meeting = meeting;
        }
    }

    // A part that is to run later, unless it is at the meeting point already.
    private void Defer(int pc, uint mask)
    {
        if (pc != _meeting)
        {
            _stack.Push((pc, mask, _meeting));
        }
    }

    // Goes on with the topmost part of the stack that has threads left.
    private bool Resume()
    {
        while (_stack.TryPop(out var next))
        {
            Active = next.Mask & Live;
            if (Active != 0)
            {
                (Pc, _meeting) = (next.Pc, next.Meeting);
                return true;
            }
        }

        return false;
    }

    private void Watch(Instruction instruction, uint mask)
    {
        if (instruction.WatchedGuard >= 0 && Block.ChecksInitialization)
        {
            var undecided = Active & ~*(uint*)(Registers + instruction.WatchedGuard);
            if (undecided != 0)
            {
                throw Fault(
                    PtxFaultKind.UninitializedRegister, BitOperations.TrailingZeroCount(undecided), null,
                    "nothing has written the guard");
            }
        }

        var known = uint.MaxValue;
        foreach (var (offset, name) in instruction.WatchedReads)
        {
            var written = *(uint*)(Registers + offset);
            known &= written;
            var missing = mask & ~written;
            if (missing != 0 && !instruction.PassesInitialization && Block.ChecksInitialization)
            {
                throw Fault(
                    PtxFaultKind.UninitializedRegister, BitOperations.TrailingZeroCount(missing), null,
                    $"nothing has written {name}");
            }
        }

        foreach (var offset in instruction.WatchedWrites)
        {
            var written = (uint*)(Registers + offset);
            *written = (*written & ~mask) | (mask & (instruction.PassesInitialization ? known : uint.MaxValue));
        }
    }
}
