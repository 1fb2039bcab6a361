using System.Numerics;

namespace Asft.PtxVm.Execution;

/// <summary>An instruction in which the threads of a warp that a mask names take part together.</summary>
/// <param name="members">The register of the mask.</param>
internal abstract unsafe class WarpOperation(int members) : Operation
{
    /// <summary>The threads that the mask names, once it is certain that they are the ones here.</summary>
    protected uint Members(Warp warp, uint mask)
    {
        var masks = (uint*)(warp.Registers + members);
        for (var left = mask; left != 0; left &= left - 1)
        {
            var lane = BitOperations.TrailingZeroCount(left);
            var named = masks[lane];
            if ((named >> lane & 1) == 0)
            {
                throw warp.Fault(PtxFaultKind.WarpMask, lane, null, $"the mask 0x{named:x8} leaves out the thread that gives it");
            }

            var absent = named & ~mask;
            if (absent != 0)
            {
                var ended = absent & ~warp.Live;
                throw warp.Fault(
                    PtxFaultKind.WarpMask, lane, null,
                    $"the mask 0x{named:x8} names threads {warp.Name(absent)}, which {(ended == absent ? "have ended" : "are not here")}");
            }
        }

        return masks[BitOperations.TrailingZeroCount(mask)];
    }
}

internal sealed class WarpBarrier(int members) : WarpOperation(members)
{
    public override void Execute(Warp warp, uint mask) => warp.Synchronize(Members(warp, mask));
}

internal enum ShuffleMode
{
    Up,
    Down,
    Xor,
    Index,
}

/// <summary>shfl.sync. What comes from a thread that does not take part is unspecified, here <see cref="Poison"/>.</summary>
internal sealed unsafe class Shuffle(
    ShuffleMode mode, int result, int predicate, int a, int b, int c, int members) : WarpOperation(members)
{
    private const uint Poison = 0xFFFA5EED; // a NaN

    public override void Execute(Warp warp, uint mask)
    {
        var to = (uint*)(warp.Registers + result);
        var from = (uint*)(warp.Registers + a);
        var moves = (uint*)(warp.Registers + b);
        var clamps = (uint*)(warp.Registers + c);
        Members(warp, mask);
        var values = stackalloc uint[32];
        new ReadOnlySpan<uint>(from, 32).CopyTo(new Span<uint>(values, 32));
        var within = 0u;
        for (var left = mask; left != 0; left &= left - 1)
        {
            var lane = BitOperations.TrailingZeroCount(left);
            var move = (int)(moves[lane] & 31);
            var segment = (int)(clamps[lane] >> 8 & 31);
            var clamp = (int)(clamps[lane] & 31);
            var last = (lane & segment) | (clamp & ~segment);
            var source = mode switch
            {
                ShuffleMode.Up => lane - move,
                ShuffleMode.Down => lane + move,
                ShuffleMode.Xor => lane ^ move,
                _ => (lane & segment) | (move & ~segment),
            };
            var inside = mode == ShuffleMode.Up ? source >= last : source <= last;
            source = inside ? source : lane;
            within |= inside ? 1u << lane : 0;
            to[lane] = (mask >> source & 1) != 0 ? values[source] : Poison;
        }

        if (predicate >= 0)
        {
            var holds = (uint*)(warp.Registers + predicate);
            *holds = (*holds & ~mask) | (within & mask);
        }
    }
}

/// <summary>vote.sync: all, any and uni give predicates, ballot gives a mask.</summary>
internal sealed unsafe class Vote(string mode, int result, int a, bool negated, int members) : WarpOperation(members)
{
    public override void Execute(Warp warp, uint mask)
    {
        var named = Members(warp, mask);
        var holds = *(uint*)(warp.Registers + a);
        holds = (negated ? ~holds : holds) & named;
        if (mode == "ballot")
        {
            var to = (uint*)(warp.Registers + result);
            for (var left = mask; left != 0; left &= left - 1)
            {
                to[BitOperations.TrailingZeroCount(left)] = holds;
            }

            return;
        }

        var value = mode switch
        {
            "all" => holds == named,
            "any" => holds != 0,
            _ => holds == named || holds == 0,
        };
        var predicate = (uint*)(warp.Registers + result);
        *predicate = (*predicate & ~mask) | (value ? mask : 0);
    }
}

/// <summary>match.sync: which of the threads have the same value.</summary>
internal sealed unsafe class Match<T>(bool all, int result, int predicate, int a, int members) : WarpOperation(members)
    where T : unmanaged, IBinaryInteger<T>
{
    public override void Execute(Warp warp, uint mask)
    {
        Members(warp, mask);
        var to = (uint*)(warp.Registers + result);
        var from = (T*)(warp.Registers + a);
        var same = stackalloc uint[32];
        for (var left = mask; left != 0; left &= left - 1)
        {
            var lane = BitOperations.TrailingZeroCount(left);
            same[lane] = 0;
            for (var other = mask; other != 0; other &= other - 1)
            {
                var peer = BitOperations.TrailingZeroCount(other);
                same[lane] |= from[peer] == from[lane] ? 1u << peer : 0;
            }
        }

        var agree = true;
        for (var left = mask; left != 0; left &= left - 1)
        {
            var lane = BitOperations.TrailingZeroCount(left);
            agree &= same[lane] == mask;
            to[lane] = all && same[lane] != mask ? 0 : same[lane];
        }

        if (predicate >= 0)
        {
            var holds = (uint*)(warp.Registers + predicate);
            *holds = (*holds & ~mask) | (agree ? mask : 0);
        }
    }
}

/// <summary>redux.sync: an integer reduction over the threads.</summary>
internal sealed unsafe class Reduction(int result, int a, int members, Func<uint, uint, uint> function) : WarpOperation(members)
{
    public override void Execute(Warp warp, uint mask)
    {
        Members(warp, mask);
        var to = (uint*)(warp.Registers + result);
        var from = (uint*)(warp.Registers + a);
        var total = from[BitOperations.TrailingZeroCount(mask)];
        for (var left = mask & (mask - 1); left != 0; left &= left - 1)
        {
            total = function(total, from[BitOperations.TrailingZeroCount(left)]);
        }

        for (var left = mask; left != 0; left &= left - 1)
        {
            to[BitOperations.TrailingZeroCount(left)] = total;
        }
    }
}

internal sealed unsafe class ActiveMask(int result) : Operation
{
    public override void Execute(Warp warp, uint mask)
    {
        for (var left = mask; left != 0; left &= left - 1)
        {
            ((uint*)(warp.Registers + result))[BitOperations.TrailingZeroCount(left)] = mask;
        }
    }
}
