namespace Asft.PtxVm.Tests;

/// <summary>Threads that part and meet again, and what the threads of a warp and a block do together.</summary>
public class ControlFlowTests
{
    private const uint Threads = 96;

    private struct Arguments
    {
        public ulong Results;
    }

    [Test]
    public void NestedBranches() => Check(
        """
        and.b32 %r5, %r1, 1; setp.eq.u32 %p1, %r5, 0;
        and.b32 %r6, %r1, 2; setp.eq.u32 %p2, %r6, 0;
        @%p1 bra EVEN;
        @%p2 bra ONE;
        mov.u32 %r0, 3; bra INNER;
        ONE: mov.u32 %r0, 1;
        INNER: add.u32 %r0, %r0, 100; bra MEET;
        EVEN: @!%p2 bra TWO;
        mov.u32 %r0, 0; bra MEET;
        TWO: mov.u32 %r0, 2;
        MEET: vote.sync.ballot.b32 %r7, %p1, -1;
        popc.b32 %r7, %r7;
        mad.lo.u32 %r0, %r7, 1000, %r0;
        """,
        thread => 16_000 + thread % 4 + (thread % 2 == 1 ? 100 : 0),
        divergent: 3 * 3);

    [Test]
    public void LoopsOfDifferentLength() => Check(
        """
        mov.u32 %r0, 0; mov.u32 %r5, %r1;
        L: setp.eq.u32 %p1, %r5, 0; @%p1 bra OUT;
        add.u32 %r0, %r0, %r5; sub.u32 %r5, %r5, 1; bra L;
        OUT: bar.warp.sync -1;
        activemask.b32 %r6;
        setp.ne.s32 %p2, %r6, -1; @%p2 mov.u32 %r0, 0;
        """,
        thread => thread * (thread + 1) / 2,
        divergent: 3 * 31);

    [Test]
    public void LoopInLoop() => Check(
        """
        mov.u32 %r0, 0; mov.u32 %r5, 0; and.b32 %r7, %r1, 7;
        OUTER: mov.u32 %r6, 0;
        INNER: add.u32 %r0, %r0, 1; add.u32 %r6, %r6, 1; setp.lt.u32 %p1, %r6, %r7; @%p1 bra INNER;
        add.u32 %r5, %r5, 1; setp.le.u32 %p2, %r5, %r7; @%p2 bra OUTER;
        bar.sync 0;
        """,
        thread => (thread % 8 + 1) * Math.Max(thread % 8, 1));

    [Test]
    public void BreakAndContinue() => Check(
        """
        mov.u32 %r0, 0; mov.u32 %r5, 0;
        L: add.u32 %r5, %r5, 1;
        setp.gt.u32 %p1, %r5, 40; @%p1 bra OUT;
        setp.gt.u32 %p2, %r5, %r1; @%p2 bra OUT;
        rem.u32 %r6, %r5, 3; setp.eq.u32 %p3, %r6, 0; @%p3 bra L;
        add.u32 %r0, %r0, %r5;
        bra L;
        OUT: bar.sync 0;
        """,
        thread => Enumerable.Range(1, Math.Min(40, thread)).Where(i => i % 3 != 0).Sum());

    [Test]
    public void EarlyReturns()
    {
        // threads that return early do not keep the others from meeting
        const string Body = """
            setp.lt.u32 %p1, %r1, 64; @%p1 bra LOW;
            setp.eq.u32 %p2, %r1, 70; @%p2 bra END;
            mov.u32 %r0, 5;
            bra MEET;
            LOW: mov.u32 %r0, 6;
            setp.eq.u32 %p2, %r1, 3; @%p2 ret;
            MEET: and.b32 %r5, %r1, 31; add.u32 %r0, %r0, %r5;
            activemask.b32 %r6; popc.b32 %r6, %r6; mad.lo.u32 %r0, %r6, 100, %r0;
            st.global.u32 [%rd2], %r0;
            END: ret;
            """;
        var results = Run(Body, out _, store: false);
        for (var thread = 0; thread < Threads; thread++)
        {
            var expected = thread is 3 or 70 ? -1 : (thread / 32 == 1 ? 3200 : 3100) + (thread < 64 ? 6 : 5) + thread % 32;
            Assert.That(results[thread], Is.EqualTo(expected), $"thread {thread}");
        }
    }

    [Test]
    public void EarlyReturnInAnArm()
    {
        const string Body = """
            and.b32 %r5, %r1, 31;
            mov.u32 %r0, 0;
            setp.ge.u32 %p1, %r5, 16; @%p1 bra MEET;
            setp.eq.u32 %p2, %r5, 3; @%p2 bra END;
            mov.u32 %r0, 1;
            MEET: activemask.b32 %r6; popc.b32 %r6, %r6; mad.lo.u32 %r0, %r6, 100, %r0;
            st.global.u32 [%rd2], %r0;
            END: ret;
            """;
        var results = Run(Body, out _, store: false);
        for (var thread = 0; thread < Threads; thread++)
        {
            Assert.That(results[thread], Is.EqualTo(thread % 32 == 3 ? -1 : thread % 32 < 16 ? 3101 : 3100), $"thread {thread}");
        }
    }

    [Test]
    public void ReturnOutOfAnEndlessLoop()
    {
        // nothing but a return leaves the loop, and the branch in it still meets
        const string Body = """
            mov.u32 %r5, 0; mov.u32 %r0, 0;
            L: add.u32 %r5, %r5, 1;
            add.u32 %r6, %r5, %r1; and.b32 %r6, %r6, 1; setp.eq.u32 %p1, %r6, 0; @%p1 bra SKIP;
            add.u32 %r0, %r0, 1;
            SKIP: activemask.b32 %r8; popc.b32 %r8, %r8;
            setp.lt.u32 %p2, %r5, 100; @%p2 bra L;
            setp.ge.u32 %p3, %r5, 100; mad.lo.u32 %r0, %r8, 1000, %r0;
            @%p3 st.global.u32 [%rd2], %r0;
            @%p3 ret;
            bra L;
            """;
        var results = Run(Body, out _, store: false);
        Assert.That(results.Take((int)Threads), Is.All.EqualTo(32_050));
    }

    [Test]
    public void IndexedBranch() => Check(
        """
        and.b32 %r5, %r1, 3;
        mov.u32 %r0, 0;
        TABLE: .branchtargets A, B, C, A;
        brx.idx %r5, TABLE;
        A: add.u32 %r0, %r0, 1; bra MEET;
        B: add.u32 %r0, %r0, 20;
        C: add.u32 %r0, %r0, 300;
        MEET: activemask.b32 %r6; popc.b32 %r6, %r6; mad.lo.u32 %r0, %r6, 1000, %r0;
        """,
        thread => 32_000 + (thread % 4) switch { 1 => 320, 2 => 300, _ => 1 },
        divergent: 3);

    [Test]
    public void ScopedNames() => Check(
        """
        { .reg .b32 x; mov.u32 x, 5; { .reg .b32 x; mov.u32 x, 7; bra L; L: add.u32 %r0, x, 0; } add.u32 %r0, %r0, x; bra L; L: }
        { .reg .b32 x; add.u32 x, %r1, 1; add.u32 %r0, %r0, x; }
        """,
        thread => 13 + thread);

    [Test]
    public void Shuffles()
    {
        CheckLanes("shfl.sync.idx.b32 %r0, %r1, 5, 31, -1;", lane => 5);
        CheckLanes("shfl.sync.up.b32 %r0, %r1, 3, 0, -1;", lane => lane >= 3 ? lane - 3 : lane);
        CheckLanes("shfl.sync.down.b32 %r0, %r1, 3, 31, -1;", lane => lane + 3 < 32 ? lane + 3 : lane);
        CheckLanes("shfl.sync.bfly.b32 %r0, %r1, 9, 31, -1;", lane => lane ^ 9);

        // segments of 8: the clamp field holds 0x1800 for a width of 8
        CheckLanes("shfl.sync.idx.b32 %r0, %r1, 11, 0x181F, -1;", lane => lane / 8 * 8 + 3);
        CheckLanes("shfl.sync.up.b32 %r0, %r1, 3, 0x1800, -1;", lane => lane % 8 >= 3 ? lane - 3 : lane);
        CheckLanes("shfl.sync.down.b32 %r0, %r1, 3, 0x181F, -1;", lane => lane % 8 + 3 < 8 ? lane + 3 : lane);
        CheckLanes("shfl.sync.bfly.b32 %r0, %r1, 5, 0x181F, -1;", lane => lane ^ 5);
        CheckLanes("shfl.sync.down.b32 %r0|%p1, %r1, 3, 31, -1; selp.u32 %r0, 1, 0, %p1;", lane => lane + 3 < 32 ? 1 : 0, addWarp: false);
        CheckLanes("and.b32 %r5, %r1, 31; sub.u32 %r5, 31, %r5; shfl.sync.idx.b32 %r0, %r1, %r5, 31, -1;", lane => 31 - lane);
    }

    [Test]
    public void Votes()
    {
        CheckLanes("and.b32 %r5, %r1, 3; setp.eq.u32 %p1, %r5, 1; vote.sync.ballot.b32 %r0, %p1, -1;", _ => 0x22222222, addWarp: false);
        CheckLanes("and.b32 %r5, %r1, 3; setp.eq.u32 %p1, %r5, 1; vote.sync.any.pred %p2, %p1, -1; selp.u32 %r0, 1, 0, %p2;", _ => 1, addWarp: false);
        CheckLanes("and.b32 %r5, %r1, 3; setp.eq.u32 %p1, %r5, 1; vote.sync.all.pred %p2, %p1, -1; selp.u32 %r0, 1, 0, %p2;", _ => 0, addWarp: false);
        CheckLanes("setp.ge.u32 %p1, %r1, 0; vote.sync.all.pred %p2, !%p1, -1; vote.sync.uni.pred %p3, %p1, -1; selp.u32 %r0, 1, 0, %p2; selp.u32 %r5, 2, 0, %p3; add.u32 %r0, %r0, %r5;", _ => 2, addWarp: false);
    }

    [Test]
    public void MatchesAndReductions()
    {
        CheckLanes("and.b32 %r5, %r1, 3; match.any.sync.b32 %r0, %r5, -1;", lane => 0x11111111 << lane % 4, addWarp: false);
        CheckLanes("and.b32 %r5, %r1, 3; cvt.u64.u32 %rd5, %r5; match.any.sync.b64 %r0, %rd5, -1;", lane => 0x11111111 << lane % 4, addWarp: false);
        CheckLanes("mov.u32 %r5, 7; match.all.sync.b32 %r0|%p1, %r5, -1; selp.u32 %r0, %r0, 0, %p1;", _ => -1, addWarp: false);
        CheckLanes("match.all.sync.b32 %r0|%p1, %r1, -1; selp.u32 %r0, 9, 8, %p1;", _ => 8, addWarp: false);
        CheckLanes("and.b32 %r5, %r1, 31; redux.sync.add.u32 %r0, %r5, -1;", _ => 496, addWarp: false);
        CheckLanes("and.b32 %r5, %r1, 31; sub.u32 %r5, %r5, 10; redux.sync.min.s32 %r0, %r5, -1;", _ => -10, addWarp: false);
        CheckLanes("and.b32 %r5, %r1, 31; sub.u32 %r5, %r5, 10; redux.sync.min.u32 %r0, %r5, -1;", _ => 0, addWarp: false);
        CheckLanes("and.b32 %r5, %r1, 31; sub.u32 %r5, %r5, 10; redux.sync.max.s32 %r0, %r5, -1;", _ => 21, addWarp: false);
        CheckLanes("and.b32 %r5, %r1, 31; redux.sync.xor.b32 %r0, %r5, -1;", _ => 0, addWarp: false);
        CheckLanes("and.b32 %r5, %r1, 31; redux.sync.or.b32 %r0, %r5, -1;", _ => 31, addWarp: false);
        CheckLanes("and.b32 %r5, %r1, 31; or.b32 %r5, %r5, 32; redux.sync.and.b32 %r0, %r5, -1;", _ => 32, addWarp: false);
    }

    [Test]
    public void SpecialRegisters()
    {
        Check("mov.u32 %r5, %laneid; mov.u32 %r6, %warpid; mad.lo.u32 %r0, %r6, 100, %r5;", thread => thread / 32 * 100 + thread % 32);
        Check("mov.u32 %r5, %lanemask_lt; popc.b32 %r5, %r5; mov.u32 %r6, %lanemask_ge; popc.b32 %r6, %r6; mad.lo.u32 %r0, %r5, 100, %r6;", thread => thread % 32 * 100 + 32 - thread % 32);
        Check("mov.u32 %r5, %lanemask_le; popc.b32 %r5, %r5; mov.u32 %r6, %lanemask_gt; popc.b32 %r6, %r6; mad.lo.u32 %r0, %r5, 100, %r6;", thread => (thread % 32 + 1) * 100 + 31 - thread % 32);
        Check("mov.u32 %r5, %lanemask_eq; brev.b32 %r5, %r5; clz.b32 %r0, %r5;", thread => thread % 32);
        Check("mov.u32 %r5, %ntid.x; mov.u32 %r6, %nctaid.x; mov.u32 %r7, %nctaid.y; mov.u32 %r8, %ctaid.x; mov.u32 %r9, %ctaid.y; add.u32 %r0, %r5, %r6; add.u32 %r0, %r0, %r7; add.u32 %r0, %r0, %r8; add.u32 %r0, %r0, %r9; mov.u32 %r5, %tid.y; add.u32 %r0, %r0, %r5; mov.u32 %r5, %ntid.z; add.u32 %r0, %r0, %r5;", _ => 96 + 1 + 1 + 1);
    }

    [Test]
    public void BarrierReductions()
    {
        Check("and.b32 %r5, %r1, 1; setp.eq.u32 %p1, %r5, 0; barrier.red.popc.u32 %r0, 0, %p1;", _ => 48);
        Check("setp.ne.u32 %p1, %r1, 5; barrier.red.and.pred %p2, 0, %p1; selp.u32 %r0, 1, 0, %p2;", _ => 0);
        Check("setp.ne.u32 %p1, %r1, 5; barrier.red.or.pred %p2, 0, !%p1; selp.u32 %r0, 1, 0, %p2;", _ => 1);
    }

    [Test]
    public void GridOfTwoDimensions()
    {
        using var program = new Program(Program.Kernel("""
            ld.param.u64 %rd1, [p];
            mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ctaid.y; mov.u32 %r3, %nctaid.x; mov.u32 %r4, %tid.x;
            mad.lo.u32 %r5, %r2, %r3, %r1;
            mul.wide.u32 %rd2, %r5, 4; add.s64 %rd2, %rd1, %rd2;
            mad.lo.u32 %r6, %r2, 100, %r1;
            setp.eq.u32 %p1, %r4, 0;
            @%p1 st.global.u32 [%rd2], %r6;
            ret;
            """, 8));
        var results = new int[15];
        program.Launch("k", 5, 33, new Arguments { Results = program.Use(results, initialized: false) }, blocksY: 3);
        Assert.That(results, Is.EqualTo(Enumerable.Range(0, 15).Select(i => i / 5 * 100 + i % 5)));
        Assert.That(program.Machine.LastLaunch.Blocks, Is.EqualTo(15));
        Assert.That(program.Machine.LastLaunch.Threads, Is.EqualTo(15 * 33));
    }

    [Test]
    public void Atomics()
    {
        CheckAtomic("red.global.add.u32 [%rd1+384], %r1;", 10, 10 + 96 * 95 / 2);
        CheckAtomic("red.global.min.s32 [%rd1+384], %r1;", 50, 0);
        CheckAtomic("red.global.max.u32 [%rd1+384], %r1;", 50, 95);
        CheckAtomic("sub.u32 %r5, %r1, 50; red.global.min.s32 [%rd1+384], %r5;", 7, -50);
        CheckAtomic("red.global.or.b32 [%rd1+384], %r1;", 0, 127);
        CheckAtomic("red.global.and.b32 [%rd1+384], %r1;", -1, 0);
        CheckAtomic("red.global.xor.b32 [%rd1+384], %r1;", 5, 5);
        CheckAtomic("atom.global.inc.u32 %r5, [%rd1+384], 9;", 0, 96 % 10);
        CheckAtomic("atom.global.dec.u32 %r5, [%rd1+384], 9;", 0, 4);
        CheckAtomic("setp.eq.u32 %p1, %r1, 40; @%p1 atom.global.exch.b32 %r5, [%rd1+384], 77;", 3, 77);
        CheckAtomic("atom.global.cas.b32 %r5, [%rd1+384], 3, %r1;", 2, 2);
        CheckAtomic("setp.eq.u32 %p1, %r1, 40; @%p1 atom.global.cas.b32 %r5, [%rd1+384], 3, %r1;", 3, 40);
        CheckAtomic("cvt.u64.u32 %rd5, %r1; red.global.add.u64 [%rd1+384], %rd5;", 10, 10 + 96 * 95 / 2);
        CheckAtomic("atom.add.u32 %r5, [%rd1+384], 1;", 0, 96);
        CheckAtomic("setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [cell], 0; bar.sync 0; atom.shared.add.u32 %r5, [cell], 2; bar.sync 0; ld.shared.u32 %r6, [cell]; @%p1 st.global.u32 [%rd1+384], %r6;", 0, 192);

        // what threads get back is each value once
        var results = Run("atom.global.add.u32 %r0, [%rd1+384], 1;", out _, initial: 1000);
        Assert.That(results.Take((int)Threads).Order(), Is.EqualTo(Enumerable.Range(1000, (int)Threads)));
    }

    [Test]
    public void GenericAddresses() => Check(
        """
        mov.u64 %rd5, cells; cvta.shared.u64 %rd5, %rd5; mul.wide.u32 %rd6, %r1, 4; add.s64 %rd5, %rd5, %rd6;
        st.u32 [%rd5], %r1; ld.u32 %r5, [%rd5]; cvta.to.shared.u64 %rd7, %rd5; ld.shared.u32 %r6, [%rd7];
        mov.u64 %rd8, own; cvta.local.u64 %rd8, %rd8; st.u32 [%rd8+4], %r1; ld.local.u32 %r7, [own+4];
        isspacep.shared %p1, %rd5; isspacep.global %p2, %rd2; isspacep.local %p3, %rd8; and.pred %p1, %p1, %p2; and.pred %p1, %p1, %p3;
        add.u32 %r0, %r5, %r6; add.u32 %r0, %r0, %r7; selp.u32 %r8, 1000, 0, %p1; add.u32 %r0, %r0, %r8;
        """,
        thread => 3 * thread + 1000);

    [Test]
    public void NarrowLoadsAndStores() => Check(
        """
        mul.wide.u32 %rd6, %r1, 4; mov.u64 %rd5, cells; add.s64 %rd5, %rd5, %rd6;
        st.shared.u32 [%rd5], 0x8001FF7F;
        ld.shared.u8 %r5, [%rd5+1]; ld.shared.s8 %r6, [%rd5+1]; ld.shared.u16 %r7, [%rd5+2]; ld.shared.s16 %r8, [%rd5+2];
        ld.shared.s8 %rs1, [%rd5+1]; cvt.s32.s16 %r9, %rs1;
        ld.shared.s32 %rd7, [%rd5]; shr.u64 %rd7, %rd7, 32; cvt.u32.u64 %r10, %rd7;
        add.s32 %r0, %r5, %r6; add.s32 %r0, %r0, %r7; sub.s32 %r0, %r0, %r8; sub.s32 %r0, %r0, %r9; add.s32 %r0, %r0, %r10;
        st.shared.u8 [%rd5+3], %r1; ld.shared.v4.u8 {%rs1, %rs2, %rs3, %rs4}, [%rd5]; cvt.u32.u16 %r5, %rs4; add.s32 %r0, %r0, %r5;
        st.shared.v2.u16 [%rd5], {%rs4, %rs2}; ld.shared.u32 %r5, [%rd5]; shr.u32 %r5, %r5, 16; add.s32 %r0, %r0, %r5;
        """,
        thread => 255 - 1 + 65536 + 1 - 1 + thread + 255);

    private static void CheckLanes(string body, Func<int, int> expected, bool addWarp = true) =>
        Check(body, thread => expected(thread % 32) + (addWarp ? thread / 32 * 32 : 0));

    private static void CheckAtomic(string body, int initial, int expected)
    {
        var results = Run("mov.u32 %r0, 0;" + body, out _, initial);
        Assert.That(results[Threads], Is.EqualTo(expected), body);
    }

    private static void Check(string body, Func<int, int> expected, int divergent = -1)
    {
        var results = Run(body, out var counts);
        for (var thread = 0; thread < Threads; thread++)
        {
            Assert.That(results[thread], Is.EqualTo(expected(thread)), $"thread {thread} of {body}");
        }

        if (divergent >= 0)
        {
            Assert.That(counts.DivergentBranches, Is.EqualTo(divergent));
        }
    }

    // One block of three warps; what each thread leaves in %r0 is its result, and a cell behind the results begins as told.
    private static int[] Run(string body, out LaunchCounts counts, int initial = 0, bool store = true)
    {
        using var program = new Program(Program.Kernel($$"""
            .shared .align 16 .b8 cells[384];
            .shared .align 16 .b8 cell[4];
            .local .align 16 .b8 own[8];
            ld.param.u64 %rd1, [p];
            mov.u32 %r1, %tid.x;
            mul.wide.u32 %rd2, %r1, 4;
            add.s64 %rd2, %rd1, %rd2;
            {{body}}
            {{(store ? "st.global.u32 [%rd2], %r0; ret;" : "")}}
            """, 8));
        var results = new int[Threads + 2];
        Array.Fill(results, -1);
        (results[Threads], results[Threads + 1]) = (initial, 0);
        program.Launch("k", 1, Threads, new Arguments { Results = program.Use(results) });
        counts = program.Machine.LastLaunch;
        return results;
    }
}
