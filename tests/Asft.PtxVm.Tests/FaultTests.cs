namespace Asft.PtxVm.Tests;

/// <summary>Each class of fault: a bad program that is caught, and a good one nearby that is not.</summary>
/// <remarks>
/// Every program gets, in %rd1, 1024 bytes that count 0, 1, 2, ... as 32-bit integers; in %rd2, 1024 fresh bytes; in %r1 the thread, in
/// %r2 the block, in %rd3 and %rd4 the thread times 4 from %rd1 and %rd2. There are 64 threads and, where not said, one block.
/// </remarks>
public unsafe class FaultTests
{
    private struct Arguments
    {
        public ulong Data;
        public ulong Fresh;
    }

    private static readonly TestCaseData[] Programs =
    [
        // out of bounds
        Bad(PtxFaultKind.OutOfBounds, "one element past the end", "add.s64 %rd5, %rd3, 772; ld.global.u32 %r5, [%rd5];"),
        Good("the last element", "add.s64 %rd5, %rd3, 768; ld.global.u32 %r5, [%rd5];"),
        Bad(PtxFaultKind.OutOfBounds, "one element before the start", "ld.global.u32 %r5, [%rd3+-4];"),
        Bad(PtxFaultKind.OutOfBounds, "a store past the end", "st.global.u32 [%rd1+1024], %r1;", "setp.eq.u32 %p1, %r1, 9; @!%p1 ret;"),
        Bad(PtxFaultKind.OutOfBounds, "a vector across the end", "shl.b32 %r5, %r1, 3; cvt.u64.u32 %rd5, %r5; add.s64 %rd5, %rd1, %rd5; ld.global.v4.u32 {%r6, %r7, %r8, %r9}, [%rd5+512];", "and.b32 %r5, %r1, 1; setp.eq.u32 %p1, %r5, 1; @%p1 ret; add.u32 %r1, %r1, 2;"),
        Bad(PtxFaultKind.OutOfBounds, "null", "mov.u64 %rd5, 0; ld.global.u32 %r5, [%rd5];"),
        Bad(PtxFaultKind.OutOfBounds, "null, generic", "mov.u64 %rd5, 0; ld.u32 %r5, [%rd5];"),
        Bad(PtxFaultKind.OutOfBounds, "past shared memory", "st.shared.u32 [tile+256], %r1;", "setp.eq.u32 %p1, %r1, 0; @!%p1 ret;"),
        Good("the last word of shared memory", "setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [tile+252], %r1;"),
        Bad(PtxFaultKind.OutOfBounds, "past local memory", "mov.u64 %rd5, own; shl.b32 %r5, %r1, 2; cvt.u64.u32 %rd6, %r5; add.s64 %rd5, %rd5, %rd6; st.local.u32 [%rd5], %r1;"),
        Good("inside local memory", "mov.u64 %rd5, own; and.b32 %r5, %r1, 3; shl.b32 %r5, %r5, 2; cvt.u64.u32 %rd6, %r5; add.s64 %rd5, %rd5, %rd6; st.local.u32 [%rd5], %r1;"),
        Bad(PtxFaultKind.OutOfBounds, "past the parameter", "mov.b64 %rd5, p; add.s64 %rd5, %rd5, 16; ld.param.u64 %rd6, [%rd5];"),
        Good("inside the parameter", "mov.b64 %rd5, p; add.s64 %rd5, %rd5, 8; ld.param.u64 %rd6, [%rd5];"),
        Bad(PtxFaultKind.OutOfBounds, "an atomic past the end", "atom.global.add.u32 %r5, [%rd1+1024], 1;"),

        // alignment
        Bad(PtxFaultKind.Misaligned, "a word at 2", "ld.global.u32 %r5, [%rd3+2];"),
        Good("half a word at 2", "ld.global.u16 %rs1, [%rd3+2];"),
        Bad(PtxFaultKind.Misaligned, "16 bytes at 8", "ld.global.v4.u32 {%r5, %r6, %r7, %r8}, [%rd1+8];"),
        Good("8 bytes at 8", "ld.global.v2.u32 {%r5, %r6}, [%rd1+8];"),
        Bad(PtxFaultKind.Misaligned, "16 bytes at 4, side by side", "shl.b32 %r5, %r1, 4; cvt.u64.u32 %rd5, %r5; add.s64 %rd5, %rd1, %rd5; ld.global.v4.u32 {%r6, %r7, %r8, %r9}, [%rd5+4];", "setp.ge.u32 %p1, %r1, 32; @%p1 ret;"),
        Bad(PtxFaultKind.Misaligned, "a shared word at 1", "st.shared.u32 [tile+1], %r1;", "setp.eq.u32 %p1, %r1, 0; @!%p1 ret;"),

        // constant memory
        Bad(PtxFaultKind.ReadOnly, "a write to constant memory", "mov.u64 %rd5, table; cvta.const.u64 %rd5, %rd5; setp.eq.u32 %p1, %r1, 0; @%p1 st.u32 [%rd5], %r1;"),
        Bad(PtxFaultKind.ReadOnly, "writes to constant memory side by side", "mov.u64 %rd5, table; cvta.const.u64 %rd5, %rd5; mul.wide.u32 %rd6, %r1, 4; add.s64 %rd5, %rd5, %rd6; st.u32 [%rd5], %r1;"),
        Good("a read of constant memory", "ld.const.u32 %r5, [table+4];"),

        // what nothing has written
        Bad(PtxFaultKind.UninitializedMemory, "fresh global memory", "ld.global.u32 %r5, [%rd4];"),
        Good("fresh global memory, written before", "st.global.u32 [%rd4], %r1; ld.global.u32 %r5, [%rd4];"),
        Bad(PtxFaultKind.UninitializedMemory, "half of what is read", "st.global.u16 [%rd4], %rs0; ld.global.u32 %r5, [%rd4];"),
        Bad(PtxFaultKind.UninitializedMemory, "fresh shared memory", "ld.shared.u32 %r5, [tile];"),
        Bad(PtxFaultKind.UninitializedMemory, "an atomic sum in fresh shared memory", "atom.shared.add.u32 %r5, [tile], 1;"),
        Bad(PtxFaultKind.UninitializedMemory, "shared memory of the block before", "setp.ne.u32 %p1, %r1, 0; @%p1 ret; atom.global.add.u32 %r5, [%rd1], 1; setp.eq.u32 %p2, %r5, 0; @%p2 st.shared.u32 [tile], 5; @!%p2 ld.shared.u32 %r6, [tile];", blocks: 2),
        Bad(PtxFaultKind.UninitializedRegister, "a register", "add.u32 %r5, %r6, 1;"),
        Bad(PtxFaultKind.UninitializedRegister, "a register written by other threads only", "setp.lt.u32 %p1, %r1, 40; @%p1 mov.u32 %r6, 1; add.u32 %r5, %r6, 1;"),
        Good("a register read by the threads that wrote it", "setp.lt.u32 %p1, %r1, 40; @%p1 mov.u32 %r6, 1; @%p1 add.u32 %r5, %r6, 1;"),
        Bad(PtxFaultKind.UninitializedRegister, "a register written in one arm", "setp.lt.u32 %p1, %r1, 40; @%p1 bra A; bra B; A: mov.u32 %r6, 1; B: add.u32 %r5, %r6, 1;"),
        Good("a register written in both arms", "setp.lt.u32 %p1, %r1, 40; @%p1 bra A; mov.u32 %r6, 2; bra B; A: mov.u32 %r6, 1; B: add.u32 %r5, %r6, 1;"),
        Bad(PtxFaultKind.UninitializedRegister, "a guard", "@%p9 mov.u32 %r6, 1;"),
        Bad(PtxFaultKind.UninitializedRegister, "a register that a copy passed on", "mov.u32 %r7, %r6; add.u32 %r5, %r7, 1;"),
        Good("a copy that nobody uses", "mov.u32 %r7, %r6;"),
        Bad(PtxFaultKind.UninitializedRegister, "a stored register", "st.global.u32 [%rd4], %r6;"),

        // races in a block
        Bad(PtxFaultKind.Race, "all threads write one word", "st.shared.u32 [tile], 7;"),
        Good("one thread writes one word", "setp.eq.u32 %p1, %r1, 5; @%p1 st.shared.u32 [tile], 7;"),
        Bad(PtxFaultKind.Race, "a neighbour's word without a barrier", Neighbour("")),
        Good("a neighbour's word after a barrier", Neighbour("bar.sync 0;")),
        Good("a neighbour's word after barrier.sync", Neighbour("barrier.sync 0;")),
        Bad(PtxFaultKind.Race, "a neighbour's word in another warp after a warp barrier", Neighbour("bar.warp.sync -1;")),
        Bad(PtxFaultKind.Race, "a read, then a neighbour's write", Neighbour("bar.sync 0;") + "st.shared.u32 [%r4], 9;"),
        Good("a read, a barrier, then a neighbour's write", Neighbour("bar.sync 0;") + "bar.sync 0; st.shared.u32 [%r4], 9;"),
        Bad(PtxFaultKind.Race, "within a warp without a barrier", Neighbour("", 31)),
        Bad(PtxFaultKind.Race, "within a warp after a shuffle", Neighbour("shfl.sync.idx.b32 %r9, %r1, 0, 31, -1;", 31)),
        Good("within a warp after a warp barrier", Neighbour("bar.warp.sync -1;", 31)),
        Good("within half a warp after a barrier of that half", "st.shared.u32 [%r4], 0; bar.sync 0; and.b32 %r9, %r1, 16; setp.ne.u32 %p1, %r9, 0; @%p1 bra OUT; st.shared.u32 [%r4], %r1; bar.warp.sync 65535;" + ReadNeighbour(15) + "OUT: mov.u32 %r9, 1;"),
        Bad(PtxFaultKind.Race, "within half a warp after a barrier of a quarter", "st.shared.u32 [%r4], 0; bar.sync 0; and.b32 %r9, %r1, 16; setp.ne.u32 %p1, %r9, 0; @%p1 bra OUT; st.shared.u32 [%r4], %r1; and.b32 %r9, %r1, 8; setp.ne.u32 %p1, %r9, 0; @%p1 bra NEXT; bar.warp.sync 255; NEXT: " + ReadNeighbour(15) + "OUT: mov.u32 %r9, 1;"),
        Bad(PtxFaultKind.Race, "global memory, a neighbour's word", "st.global.u32 [%rd3], %r1; xor.b32 %r5, %r1, 32; mul.wide.u32 %rd5, %r5, 4; add.s64 %rd5, %rd1, %rd5; ld.global.u32 %r6, [%rd5];"),
        Good("global memory, a neighbour's word after a barrier", "st.global.u32 [%rd4], %r1; bar.sync 0; xor.b32 %r5, %r1, 32; mul.wide.u32 %rd5, %r5, 4; add.s64 %rd5, %rd2, %rd5; ld.global.u32 %r6, [%rd5];"),
        Good("halves of one word", "mul.wide.u32 %rd5, %r1, 2; add.s64 %rd5, %rd2, %rd5; st.global.u16 [%rd5], %rs0;"),
        Good("bytes of one word", "cvt.u64.u32 %rd5, %r1; add.s64 %rd5, %rd2, %rd5; st.global.u8 [%rd5], %rs0;"),
        Bad(PtxFaultKind.Race, "a half and the word around it", "setp.eq.u32 %p1, %r1, 0; setp.eq.u32 %p2, %r1, 1; @%p1 st.global.u32 [%rd2+4], %r1; @%p2 st.global.u16 [%rd2+6], %rs0;"),
        Good("atomics on one word", "red.global.add.u32 [%rd1], 1; atom.global.max.u32 %r5, [%rd1], %r1;"),
        Bad(PtxFaultKind.Race, "an atomic and a plain read", "red.global.add.u32 [%rd1], 1; ld.global.u32 %r5, [%rd1];"),
        Bad(PtxFaultKind.Race, "an atomic and a plain write", "setp.eq.u32 %p1, %r1, 0; @%p1 st.global.u32 [%rd1], %r1; @!%p1 red.global.add.u32 [%rd1], 1;"),
        Bad(PtxFaultKind.Race, "a plain read among relaxed ones, and an atomic", "setp.eq.u32 %p1, %r1, 0; setp.eq.u32 %p2, %r1, 1; setp.eq.u32 %p3, %r1, 2; @%p1 ld.global.u32 %r5, [%rd1]; @%p2 ld.relaxed.gpu.global.u32 %r5, [%rd1]; @%p3 red.global.add.u32 [%rd1], 1;"),
        Good("an atomic and a relaxed read", "red.global.add.u32 [%rd1], 1; ld.relaxed.gpu.global.u32 %r5, [%rd1];"),
        Good("all threads read one word", "ld.global.u32 %r5, [%rd1]; ld.global.v4.u32 {%r5, %r6, %r7, %r8}, [%rd1];"),
        Bad(PtxFaultKind.Race, "many read, one writes", "ld.global.u32 %r5, [%rd1]; setp.eq.u32 %p1, %r1, 3; @%p1 st.global.u32 [%rd1], %r1;"),
        Good("many read, a barrier, one writes", "ld.global.u32 %r5, [%rd1]; bar.sync 0; setp.eq.u32 %p1, %r1, 3; @%p1 st.global.u32 [%rd1], %r1;"),

        // races between blocks
        Bad(PtxFaultKind.BlockRace, "blocks write one word", "setp.eq.u32 %p1, %r1, 0; @%p1 st.global.u32 [%rd2], %r2;", blocks: 2),
        Good("blocks write their own words", "setp.eq.u32 %p1, %r1, 0; mul.wide.u32 %rd5, %r2, 4; add.s64 %rd5, %rd2, %rd5; @%p1 st.global.u32 [%rd5], %r2;", blocks: 5),
        Good("blocks write halves of one word", "setp.eq.u32 %p1, %r1, 0; mul.wide.u32 %rd5, %r2, 2; add.s64 %rd5, %rd2, %rd5; @%p1 st.global.u16 [%rd5], %rs0;", blocks: 5),
        Bad(PtxFaultKind.BlockRace, "a block reads what another writes", "setp.eq.u32 %p2, %r2, 1; @%p2 st.global.u32 [%rd3], %r1; @!%p2 ld.global.u32 %r5, [%rd3];", blocks: 2),
        Bad(PtxFaultKind.BlockRace, "a block reads what another writes, with a barrier", "setp.eq.u32 %p2, %r2, 1; @%p2 st.global.u32 [%rd3], %r1; bar.sync 0; @!%p2 ld.global.u32 %r5, [%rd3];", blocks: 2),
        Bad(PtxFaultKind.BlockRace, "many blocks read what one writes", "ld.global.u32 %r5, [%rd3]; bar.sync 0; setp.eq.u32 %p2, %r2, 2; @%p2 st.global.u32 [%rd3], %r1;", blocks: 4),
        Good("many blocks read", "ld.global.u32 %r5, [%rd3];", blocks: 8),
        Good("blocks count together", "red.global.add.u32 [%rd1], 1;", blocks: 4),
        Bad(PtxFaultKind.BlockRace, "blocks count together, and one looks", "red.global.add.u32 [%rd1], 1; bar.sync 0; setp.eq.u32 %p2, %r2, 1; @%p2 ld.global.u32 %r5, [%rd1];", blocks: 4),
        Good("blocks share nothing of shared memory", "st.shared.u32 [%r4], %r1; ld.shared.u32 %r5, [%r4];", blocks: 4),

        // barriers
        Bad(PtxFaultKind.DivergentBarrier, "in one arm of a branch", "setp.lt.u32 %p1, %r1, 7; @%p1 bra A; bra B; A: bar.sync 0; B: mov.u32 %r5, 1;"),
        Bad(PtxFaultKind.DivergentBarrier, "under a guard", "setp.lt.u32 %p1, %r1, 7; @%p1 bar.sync 0;"),
        Bad(PtxFaultKind.DivergentBarrier, "in a loop that threads leave at different times", "mov.u32 %r5, %r1; L: bar.sync 0; sub.u32 %r5, %r5, 1; setp.gt.s32 %p1, %r5, 0; @%p1 bra L;"),
        Good("after a branch", "setp.lt.u32 %p1, %r1, 7; @%p1 bra A; mov.u32 %r5, 1; A: bar.sync 0;"),
        Good("in a loop that all leave together", "mov.u32 %r5, 4; L: bar.sync 0; sub.u32 %r5, %r5, 1; setp.gt.s32 %p1, %r5, 0; @%p1 bra L;"),
        Good("in an arm that all take", "setp.lt.u32 %p1, %r1, 64; @%p1 bra A; bra B; A: bar.sync 0; B:"),
        Bad(PtxFaultKind.Deadlock, "a warp ended before", "setp.lt.u32 %p1, %r1, 32; @%p1 ret; bar.sync 0;"),
        Bad(PtxFaultKind.Deadlock, "some threads ended before", "setp.lt.u32 %p1, %r1, 7; @%p1 ret; bar.sync 0;"),
        Bad(PtxFaultKind.Deadlock, "a warp does not come", "setp.lt.u32 %p1, %r1, 32; @%p1 bra A; bar.sync 0; A:"),
        Bad(PtxFaultKind.Deadlock, "warps at barriers of different numbers", "setp.lt.u32 %p1, %r1, 32; selp.u32 %r5, 1, 2, %p1; bar.sync %r5;"),
        Bad(PtxFaultKind.Deadlock, "a barrier for some threads", "bar.sync 1, 32;"),
        Good("a barrier for all threads, by number", "bar.sync 1, 64;"),

        // masks
        Bad(PtxFaultKind.WarpMask, "a shuffle with absent threads", "setp.lt.u32 %p1, %r1, 7; @%p1 shfl.sync.idx.b32 %r5, %r1, 0, 31, -1;"),
        Good("a shuffle of those present", "setp.lt.u32 %p1, %r1, 7; @%p1 shfl.sync.idx.b32 %r5, %r1, 0, 31, 127;"),
        Bad(PtxFaultKind.WarpMask, "a shuffle that leaves threads out", "shfl.sync.idx.b32 %r5, %r1, 0, 31, 65535;"),
        Bad(PtxFaultKind.WarpMask, "a shuffle with ended threads", "setp.eq.u32 %p1, %r1, 7; @%p1 ret; shfl.sync.idx.b32 %r5, %r1, 0, 31, -1;"),
        Bad(PtxFaultKind.WarpMask, "a vote in one arm", "setp.lt.u32 %p1, %r1, 7; @%p1 bra A; vote.sync.ballot.b32 %r5, %p1, -1; A:"),
        Good("a vote after the arms", "setp.lt.u32 %p1, %r1, 7; @%p1 bra A; mov.u32 %r6, 1; A: vote.sync.ballot.b32 %r5, %p1, -1;"),
        Bad(PtxFaultKind.WarpMask, "a warp barrier with absent threads", "setp.lt.u32 %p1, %r1, 7; @%p1 bar.warp.sync -1;"),

        // the rest
        Bad(PtxFaultKind.DivisionByZero, "by 0", "div.u32 %r5, 100, %r1;"),
        Good("by 1 and more", "add.u32 %r5, %r1, 1; div.u32 %r5, 100, %r5;"),
        Bad(PtxFaultKind.DivisionByZero, "rest by 0", "cvt.s64.s32 %rd5, %r1; rem.s64 %rd5, %rd5, %rd5;"),
        Good("by 0 in threads that are not there", "setp.ne.u32 %p1, %r1, 0; @%p1 div.u32 %r5, 100, %r1;"),
        Bad(PtxFaultKind.InstructionBudget, "an endless loop", "L: bra L;"),
        Bad(PtxFaultKind.InstructionBudget, "a loop that waits for a thread of its warp", "setp.eq.u32 %p1, %r1, 0; L: ld.volatile.global.u32 %r5, [%rd1]; setp.eq.u32 %p2, %r5, 0; @%p2 bra L; @%p1 red.global.add.u32 [%rd1], 1;"),
        Bad(PtxFaultKind.Trap, "a trap", "setp.eq.u32 %p1, %r1, 50; @%p1 trap;"),
    ];

    [TestCaseSource(nameof(Programs))]
    public void Program(PtxFaultKind? kind, string before, string body, int blocks)
    {
        var text = PtxVm.Tests.Program.Kernel($$"""
            .shared .align 16 .b8 tile[256];
            .local .align 16 .b8 own[16];
            ld.param.u64 %rd1, [p];
            ld.param.u64 %rd2, [p+8];
            mov.u32 %r1, %tid.x;
            mov.u32 %r2, %ctaid.x;
            mul.wide.u32 %rd3, %r1, 4;
            add.s64 %rd4, %rd2, %rd3;
            add.s64 %rd3, %rd1, %rd3;
            mov.u16 %rs0, 17;
            mov.u32 %r3, tile;
            shl.b32 %r4, %r1, 2;
            add.u32 %r4, %r4, %r3;
            {{before}}
            {{body}}
            ret;
            """, 16, ".const .align 4 .u32 table[64] = {1, 2};");
        foreach (var seed in new[] { 1, 2, 3 })
        {
            using var program = new Program(text, new PtxMachineOptions { Seed = seed, InstructionBudget = 10_000 });
            var data = (int*)program.Machine.Allocate(0, 1024);
            program.Machine.Fill(0, data, 0, 1024, 0);
            for (var i = 0; i < 256; i++)
            {
                data[i] = i;
            }

            var arguments = new Arguments { Data = (ulong)data, Fresh = (ulong)program.Machine.Allocate(0, 1024) };
            void Launch() => program.Launch("k", (uint)blocks, 64, arguments);
            if (kind is null)
            {
                Assert.That(Launch, Throws.Nothing);
            }
            else
            {
                var fault = Assert.Throws<PtxFaultException>(Launch);
                Assert.That(fault!.Kind, Is.EqualTo(kind), fault.Message);
            }
        }
    }

    [Test]
    public void AFaultSaysWhere()
    {
        const string Text = "st.global.u32 [%rd1], %r1;";
        var body = $"ld.param.u64 %rd1, [p];\nmov.u32 %r1, %tid.x;\nmul.wide.u32 %rd2, %r1, 4;\nadd.s64 %rd1, %rd1, %rd2;\n{Text}\nret;";
        var ptx = PtxVm.Tests.Program.Kernel(body, 8);
        using var program = new Program(ptx);
        var data = new int[40];
        var address = program.Use(data, "forty integers");
        var fault = Assert.Throws<PtxFaultException>(() => program.Launch("k", 1, 64, address))!;
        Assert.That(fault.Kind, Is.EqualTo(PtxFaultKind.OutOfBounds));
        Assert.That(fault.Kernel, Is.EqualTo("k"));
        Assert.That(fault.Text, Is.EqualTo(Text[..^1]));
        Assert.That(fault.Line, Is.EqualTo(Array.IndexOf(ptx.Split('\n'), Text) + 1));
        Assert.That(fault.Thread, Is.EqualTo(40));
        Assert.That(fault.Block, Is.EqualTo((0L, 0L)));
        Assert.That(fault.Address, Is.EqualTo(address + 160));
        Assert.That(fault.Message, Does.Contain("forty integers").And.Contain("thread 40").And.Contain(fault.Text));
    }

    [Test]
    public void ChecksCanBeOff()
    {
        const string Racy = "ld.param.u64 %rd1, [p]; st.global.u32 [%rd1], 7; ld.global.u32 %r5, [%rd1+4]; add.u32 %r5, %r5, %r6; st.global.u32 [%rd1], %r5; ret;";
        foreach (var (checks, kind) in new (PtxChecks, PtxFaultKind?)[] { (PtxChecks.Races, PtxFaultKind.Race), (PtxChecks.Initialization, PtxFaultKind.UninitializedMemory), (PtxChecks.None, null) })
        {
            using var program = new Program(PtxVm.Tests.Program.Kernel(Racy, 8), new PtxMachineOptions { Checks = checks });
            var address = (ulong)program.Machine.Allocate(0, 64);
            void Launch() => program.Launch("k", 1, 32, address);
            if (kind is null)
            {
                Assert.That(Launch, Throws.Nothing);
            }
            else
            {
                Assert.That(Assert.Throws<PtxFaultException>(Launch)!.Kind, Is.EqualTo(kind));
            }
        }
    }

    // Each thread stores a word and reads that of its neighbour, in shared memory.
    private static string Neighbour(string between, int apart = 63) => $"st.shared.u32 [%r4], 0; bar.sync 0; st.shared.u32 [%r4], %r1; {between} {ReadNeighbour(apart)}";

    private static string ReadNeighbour(int apart) => $"xor.b32 %r5, %r1, {apart}; shl.b32 %r5, %r5, 2; add.u32 %r5, %r5, %r3; ld.shared.u32 %r6, [%r5]; ";

    private static TestCaseData Bad(PtxFaultKind kind, string name, string body, string before = "", int blocks = 1) =>
        new TestCaseData(kind, before, body, blocks).SetArgDisplayNames($"{kind}: {name}");

    private static TestCaseData Good(string name, string body, string before = "", int blocks = 1) =>
        new TestCaseData(null, before, body, blocks).SetArgDisplayNames($"fine: {name}");
}
