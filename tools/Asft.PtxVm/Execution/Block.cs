using System.Numerics;
using Asft.PtxVm.Arithmetic;
using Asft.PtxVm.Memory;

namespace Asft.PtxVm.Execution;

/// <summary>
/// A block of a launch: its warps, its shared memory, its barrier. One object runs many blocks of a launch, one after another.
/// </summary>
internal sealed unsafe class Block
{
    private const int LongestTurn = 1024;

    private readonly Kernel _kernel;
    private readonly PtxMachineOptions _options;
    private readonly RaceChecks? _races;
    private readonly Random _random;
    private readonly Warp[] _warps;
    private readonly uint _gridX;
    private readonly uint _gridY;
    private readonly uint _threads;
    private readonly List<Warp> _runnable = [];
    private Instruction? _barrier;
    private int _barrierId;

    public Block(
        Kernel kernel, PtxMachineOptions options, (uint GridX, uint GridY, uint Threads) shape, LaunchMemory memory, Random random,
        Cluster cluster, int rank)
    {
        _kernel = kernel;
        _options = options;
        var own = memory.Blocks[rank];
        Cluster = cluster;
        Rank = rank;
        Shared = own.Shared;
        _races = memory.Races;
        _random = random;
        (_gridX, _gridY, _threads) = shape;
        Access = memory.Access;
        Counts = memory.Counts;
        Profile = memory.Profile;
        SharedBase = own.SharedBase;
        Parameters = memory.Parameters;
        Approximation = new Approximate(options.ApproximationErrors, options.Seed);
        _warps = new Warp[(_threads + 31) / 32];
        for (var i = 0; i < _warps.Length; i++)
        {
            _warps[i] = new Warp(kernel, this, i)
            {
                Registers = own.Registers + (long)i * memory.RegisterBytes,
                Local = own.Local + (long)i * 32 * kernel.LocalBytes,
            };
        }
    }

    /// <summary>The blocks that run at the same time as this one.</summary>
    public Cluster Cluster { get; }

    /// <summary>Its number among them.</summary>
    public int Rank { get; }

    public Region Shared { get; }

    public IReadOnlyList<Warp> Warps => _warps;

    /// <summary>Whether a warp of it waits for nothing.</summary>
    public bool CanRun => _runnable.Count > 0;

    /// <summary>Whether all of its threads have ended.</summary>
    public bool HasLeft { get; private set; }

    public AccessChecks Access { get; }

    public LaunchCounts Counts { get; }

    public Approximate Approximation { get; }

    /// <summary>Per instruction, how many times it was issued to a warp and how many lanes took part.</summary>
    public long* Profile { get; }

    public byte* SharedBase { get; }

    public byte* Parameters { get; }

    public int ParameterBytes => _kernel.ParameterBytes;

    public int LocalBytes => _kernel.LocalBytes;

    public bool ChecksInitialization => _options.Checks.HasFlag(PtxChecks.Initialization);

    /// <summary>The block's number in the grid, x first.</summary>
    public int Index { get; private set; }

    public (long X, long Y) Place => (Index % _gridX, Index / _gridX);

    /// <summary>How many barriers the block has passed.</summary>
    public int Epoch { get; private set; }

    public string PlaceOf(int index) => $"({index % _gridX}, {index / _gridX})";

    /// <summary>The lanes of a warp that there are.</summary>
    public uint LanesOf(int warp)
    {
        var lanes = Math.Min(32, (int)_threads - warp * 32);
        return lanes == 32 ? uint.MaxValue : (1u << lanes) - 1;
    }

    /// <summary>Begins a block.</summary>
    public void Start(int index)
    {
        Index = index;
        Epoch = 1;
        HasLeft = false;
        _barrier = null;
        if (Shared.Bytes > 0)
        {
            new Span<byte>(SharedBase, (int)Shared.Bytes).Fill(0xEF);
            Shared.ForgetWrites();
            if (_races is not null)
            {
                Shared.ForgetUses(_races.ShiftOf(Shared));
            }
        }

        _runnable.Clear();
        for (var i = 0; i < _warps.Length; i++)
        {
            var warp = _warps[i];
            _kernel.Registers.CopyTo(new Span<byte>(warp.Registers, _kernel.Registers.Length));
            SetSpecials(warp);
            warp.Start(LanesOf(i));
            _runnable.Add(warp);
        }
    }

    /// <summary>Gives one of the warps that can run a turn.</summary>
    public void RunTurn()
    {
        var turn = _random.Next(_runnable.Count);
        var warp = _runnable[turn];
        warp.Run(_random.Next(1, LongestTurn));
        if (warp.State != WarpState.Running)
        {
            _runnable[turn] = _runnable[^1];
            _runnable.RemoveAt(_runnable.Count - 1);
        }
        else if (warp.Executed > _options.InstructionBudget)
        {
            throw warp.Fault(
                PtxFaultKind.InstructionBudget, BitOperations.TrailingZeroCount(warp.Active), null,
                $"the warp ran {warp.Executed} instructions; this looks like an endless loop");
        }

        if (_runnable.Count > 0)
        {
            return;
        }

        // who waits for the cluster may come to the block's barrier later
        if (_barrier is not null && !Array.Exists(_warps, other => other.State == WarpState.AtClusterBarrier))
        {
            ReleaseBarrier();
        }
        else if (Array.TrueForAll(_warps, other => other.State == WarpState.Done))
        {
            HasLeft = true;
            Cluster.CheckLeaving(warp);
        }
    }

    /// <summary>Lets a warp go on that has waited at the cluster's barrier.</summary>
    public void ReleaseFromCluster(Warp warp)
    {
        warp.ReleaseFromCluster();
        _runnable.Add(warp);
    }

    public void Arrive(Warp warp, Instruction barrier)
    {
        var id = BarrierId(warp, barrier);
        if (barrier.Fourth >= 0)
        {
            var threads = *(uint*)(warp.Registers + barrier.Fourth);
            if (threads != (_threads + 31) / 32 * 32 && threads != _threads)
            {
                throw warp.Fault(
                    PtxFaultKind.Deadlock, 0, null,
                    $"a barrier for {threads} of the block's {_threads} threads; this machine knows only barriers for all");
            }
        }

        if (_barrier is not null && id != _barrierId)
        {
            throw warp.Fault(
                PtxFaultKind.Deadlock, 0, null,
                $"barrier {id}, while other warps of the block wait at barrier {_barrierId} (PTX line {_barrier.Line})");
        }

        (_barrier, _barrierId) = (barrier, id);
    }

    private static int BarrierId(Warp warp, Instruction barrier) => (int)*(uint*)(warp.Registers + barrier.First);

    private void ReleaseBarrier()
    {
        var waiting = _warps.Where(warp => warp.State == WarpState.AtBarrier).ToArray();
        foreach (var warp in _warps)
        {
            var all = LanesOf(warp.Index);
            if (warp.Live != all)
            {
                var ended = BitOperations.TrailingZeroCount(all & ~warp.Live);
                throw waiting[0].Fault(
                    PtxFaultKind.Deadlock, 0, null,
                    $"a barrier that thread {warp.Index * 32 + ended} of the block never reaches: it has ended");
            }
        }

        var reduction = waiting.Select(warp => _kernel.Instructions[warp.Pc]).FirstOrDefault(
            instruction => instruction.Kind == InstructionKind.BarrierReduction);
        if (reduction is not null)
        {
            Reduce(waiting);
        }

        Epoch++;
        _barrier = null;
        foreach (var warp in waiting)
        {
            warp.Release();
            _runnable.Add(warp);
        }
    }

    private void Reduce(Warp[] waiting)
    {
        var count = 0;
        foreach (var warp in waiting)
        {
            var instruction = _kernel.Instructions[warp.Pc];
            if (instruction.Kind != InstructionKind.BarrierReduction)
            {
                throw warp.Fault(
                    PtxFaultKind.Deadlock, 0, null, "a plain barrier, while other warps of the block wait at one that reduces");
            }

            var predicate = *(uint*)(warp.Registers + instruction.Second);
            count += BitOperations.PopCount((instruction.Negated ? ~predicate : predicate) & warp.Live);
        }

        foreach (var warp in waiting)
        {
            var instruction = _kernel.Instructions[warp.Pc];
            if (instruction.Reduction == "popc")
            {
                for (var lane = 0; lane < 32; lane++)
                {
                    ((uint*)(warp.Registers + instruction.Third))[lane] = (uint)count;
                }
            }
            else
            {
                var holds = instruction.Reduction == "and" ? count == _threads : count > 0;
                *(uint*)(warp.Registers + instruction.Third) = holds ? uint.MaxValue : 0;
            }
        }
    }

    private void SetSpecials(Warp warp)
    {
        foreach (var (name, offset) in _kernel.Specials)
        {
            var values = (uint*)(warp.Registers + offset);
            for (var lane = 0; lane < 32; lane++)
            {
                values[lane] = Special(name, warp, lane);
            }
        }
    }

    private uint Special(string name, Warp warp, int lane) => name switch
    {
        "%tid.x" => (uint)(warp.Index * 32 + lane),
        "%ntid.x" => _threads,
        "%ctaid.x" => (uint)(Index % _gridX),
        "%ctaid.y" => (uint)(Index / _gridX),
        "%nctaid.x" => _gridX,
        "%nctaid.y" => _gridY,
        "%tid.y" or "%tid.z" or "%ctaid.z" => 0,
        "%ntid.y" or "%ntid.z" or "%nctaid.z" => 1,
        "%laneid" => (uint)lane,
        "%warpid" => (uint)warp.Index,
        "%nwarpid" => (uint)_warps.Length,
        "%smid" => (uint)(Index % _options.Devices[0].Multiprocessors),
        "%nsmid" => (uint)_options.Devices[0].Multiprocessors,
        "%gridid" => 1,
        "%lanemask_eq" => 1u << lane,
        "%lanemask_lt" => (1u << lane) - 1,
        "%lanemask_le" => (2u << lane) - 1,
        "%lanemask_gt" => ~((2u << lane) - 1),
        "%lanemask_ge" => ~((1u << lane) - 1),
        "%total_smem_size" => (uint)Shared.Bytes,
        "%cluster_ctarank" => (uint)Rank,
        "%cluster_nctarank" => (uint)Cluster.Size,
        _ => throw new InvalidOperationException($"The decoder let {name} through."),
    };
}
