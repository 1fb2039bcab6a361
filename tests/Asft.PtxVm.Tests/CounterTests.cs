namespace Asft.PtxVm.Tests;

/// <summary>Counts with known answers.</summary>
public unsafe class CounterTests
{
    private struct Arguments
    {
        public ulong Data;
    }

    [TestCase("coalesced words", "shl.b32 %r5, %r1, 2;", "u32 %r6", 4, 1.0)]
    [TestCase("coalesced 16 bytes", "shl.b32 %r5, %r1, 4;", "v4.u32 {%r6, %r7, %r8, %r9}", 16, 1.0)]
    [TestCase("coalesced halves", "shl.b32 %r5, %r1, 1;", "u16 %rs1", 2, 1.0)]
    [TestCase("words backwards", "sub.u32 %r5, 31, %r1; shl.b32 %r5, %r5, 2;", "u32 %r6", 4, 1.0)]
    [TestCase("words 4 bytes off", "shl.b32 %r5, %r1, 2; add.u32 %r5, %r5, 4;", "u32 %r6", 5, 0.8)]
    [TestCase("every other word", "shl.b32 %r5, %r1, 3;", "u32 %r6", 8, 0.5)]
    [TestCase("every eighth word", "shl.b32 %r5, %r1, 5;", "u32 %r6", 32, 0.125)]
    [TestCase("one word for all", "mov.u32 %r5, 64;", "u32 %r6", 1, 0.125)]
    [TestCase("one byte for all", "mov.u32 %r5, 65;", "u8 %r6", 1, 1 / 32.0)]
    [TestCase("16 bytes, every other", "shl.b32 %r5, %r1, 5;", "v4.u32 {%r6, %r7, %r8, %r9}", 32, 0.5)]
    public void GlobalLoads(string name, string address, string load, int sectors, double efficiency)
    {
        var counts = Run($"{address} cvt.u64.u32 %rd5, %r5; add.s64 %rd5, %rd1, %rd5; ld.global.{load}, [%rd5];");
        Assert.That(counts.GlobalLoadRequests, Is.EqualTo(1), name);
        Assert.That(counts.GlobalLoadSectors, Is.EqualTo(sectors), name);
        Assert.That(counts.DistinctSectorsRead, Is.EqualTo(sectors), name);
        Assert.That(counts.LoadEfficiency, Is.EqualTo(efficiency).Within(1e-12), name);
        Assert.That(counts.SectorEfficiency, Is.EqualTo(efficiency).Within(1e-12), name);
        Assert.That(counts.GlobalStoreRequests + counts.GlobalStoreSectors + counts.DistinctSectorsWritten + counts.GlobalBytesWritten, Is.Zero, name);
        Assert.That(counts.StoreEfficiency, Is.EqualTo(1));
    }

    [Test]
    public void GlobalStores()
    {
        var counts = Run("shl.b32 %r5, %r1, 3; cvt.u64.u32 %rd5, %r5; add.s64 %rd5, %rd1, %rd5; st.global.u32 [%rd5], %r1; st.global.u32 [%rd5], %r1;");
        Assert.That(counts.GlobalStoreRequests, Is.EqualTo(2));
        Assert.That(counts.GlobalStoreSectors, Is.EqualTo(16));
        Assert.That(counts.GlobalStoreUsefulBytes, Is.EqualTo(256));
        Assert.That(counts.StoreEfficiency, Is.EqualTo(0.5));
        Assert.That(counts.DistinctSectorsWritten, Is.EqualTo(8));
        Assert.That(counts.GlobalBytesWritten, Is.EqualTo(256));
        Assert.That(counts.GlobalBytesRead, Is.Zero);
    }

    [Test]
    public void PartOfAWarp()
    {
        var counts = Run("setp.lt.u32 %p1, %r1, 5; shl.b32 %r5, %r1, 4; cvt.u64.u32 %rd5, %r5; add.s64 %rd5, %rd1, %rd5; @%p1 ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd5]; @!%p1 ld.global.f32 %f5, [%rd1]; @%p1 ex2.approx.ftz.f32 %f6, %f1;");
        Assert.That(counts.GlobalLoadRequests, Is.EqualTo(2));
        Assert.That(counts.GlobalLoadSectors, Is.EqualTo(3 + 1));
        Assert.That(counts.GlobalLoadUsefulBytes, Is.EqualTo(80 + 4));
        Assert.That(counts.GlobalBytesRead, Is.EqualTo(80 + 27 * 4));
        Assert.That(counts.DistinctSectorsRead, Is.EqualTo(3));
        Assert.That(counts.TranscendentalOperations, Is.EqualTo(5));
        Assert.That(counts.Warps(InstructionClass.Transcendental), Is.EqualTo(1));
        Assert.That(counts.Lanes(InstructionClass.LoadGlobal), Is.EqualTo(32));
    }

    [Test]
    public void AnInstructionNobodyTakesPartIn()
    {
        var counts = Run("setp.gt.u32 %p1, %r1, 100; @%p1 ld.global.u32 %r5, [%rd1]; @%p1 add.u32 %r6, %r1, 1;");
        Assert.That(counts.GlobalLoadRequests, Is.Zero);
        Assert.That(counts.Warps(InstructionClass.LoadGlobal), Is.EqualTo(1), "it is issued");
        Assert.That(counts.Lanes(InstructionClass.LoadGlobal), Is.Zero);
        Assert.That(counts.Lanes(InstructionClass.Integer), Is.Zero);
    }

    [TestCase("words side by side", "shl.b32 %r5, %r1, 2;", "u32 %r6", 0)]
    [TestCase("one word for all", "mov.u32 %r5, 8;", "u32 %r6", 0)]
    [TestCase("every other word", "shl.b32 %r5, %r1, 3;", "u32 %r6", 1)]
    [TestCase("every fourth word", "shl.b32 %r5, %r1, 4;", "u32 %r6", 3)]
    [TestCase("every 32nd word", "shl.b32 %r5, %r1, 7;", "u32 %r6", 31)]
    [TestCase("every 33rd word", "mul.lo.u32 %r5, %r1, 132;", "u32 %r6", 0)]
    [TestCase("halves side by side", "shl.b32 %r5, %r1, 1;", "u16 %rs1", 0)]
    [TestCase("8 bytes side by side", "shl.b32 %r5, %r1, 3;", "v2.u32 {%r6, %r7}", 0)]
    [TestCase("every other 8 bytes", "shl.b32 %r5, %r1, 4;", "v2.u32 {%r6, %r7}", 2)]
    [TestCase("16 bytes side by side", "shl.b32 %r5, %r1, 4;", "v4.u32 {%r6, %r7, %r8, %r9}", 0)]
    [TestCase("every other 16 bytes", "shl.b32 %r5, %r1, 5;", "v4.u32 {%r6, %r7, %r8, %r9}", 4)]
    public void BankConflicts(string name, string address, string load, int conflicts)
    {
        var counts = Run($"{address} mov.u32 %r10, tile; add.u32 %r5, %r5, %r10; ld.shared.{load}, [%r5];", new PtxMachineOptions { Checks = PtxChecks.Races });
        Assert.That(counts.BankConflicts, Is.EqualTo(conflicts), name);
        Assert.That(counts.Warps(InstructionClass.LoadShared), Is.EqualTo(1));
        Assert.That(counts.GlobalLoadRequests, Is.Zero);
    }

    [Test]
    public void Classes()
    {
        var counts = Run("""
            add.f32 %f1, 0f3F800000, 0f3F800000; fma.rn.f32 %f1, %f1, %f1, %f1; neg.f32 %f1, %f1; max.f32 %f1, %f1, %f1;
            add.f64 %fd1, 0d3FF0000000000000, 0d3FF0000000000000;
            lg2.approx.ftz.f32 %f2, %f1; sqrt.rn.f32 %f2, %f1; div.rn.f32 %f2, %f1, %f1; rcp.rn.f64 %fd1, %fd1;
            shl.b32 %r5, %r1, 1; mad.lo.s32 %r5, %r5, %r5, %r5; popc.b32 %r5, %r5;
            and.b32 %r5, %r5, 1; prmt.b32 %r5, %r5, %r5, 0x3210;
            cvt.rn.f32.u32 %f2, %r5;
            setp.eq.u32 %p1, %r5, 1; selp.b32 %r5, 1, 2, %p1;
            shfl.sync.idx.b32 %r6, %r5, 0, 31, -1; vote.sync.any.pred %p1, %p1, -1;
            bar.sync 0; membar.cta;
            st.shared.u32 [word], 1; ld.shared.u32 %r7, [word]; st.local.u32 [own], 1; ld.local.u32 %r7, [own];
            red.shared.add.u32 [word], 1;
            bra NEXT; NEXT:
            """, new PtxMachineOptions { Checks = PtxChecks.None });
        (InstructionClass Class, int Count)[] expected =
        [
            (InstructionClass.Float32, 4), (InstructionClass.Float64, 1), (InstructionClass.Transcendental, 4), (InstructionClass.Integer, 3), (InstructionClass.Logic, 2),
            (InstructionClass.Conversion, 1), (InstructionClass.Comparison, 2), (InstructionClass.Shuffle, 2), (InstructionClass.Barrier, 2), (InstructionClass.StoreShared, 1),
            (InstructionClass.LoadShared, 1), (InstructionClass.StoreLocal, 1), (InstructionClass.LoadLocal, 1), (InstructionClass.Atomic, 1),
            (InstructionClass.LoadParameter, 1), (InstructionClass.Move, 1), (InstructionClass.Control, 2), (InstructionClass.LoadGlobal, 0), (InstructionClass.StoreGlobal, 0), (InstructionClass.LoadConstant, 0),
        ];
        foreach (var (kind, count) in expected)
        {
            Assert.That(counts.Warps(kind), Is.EqualTo(count), kind.ToString());
            Assert.That(counts.Lanes(kind), Is.EqualTo(32 * count), kind.ToString());
        }

        Assert.That(counts.WarpInstructions, Is.EqualTo(expected.Sum(entry => entry.Count)));
        Assert.That(counts.LaneInstructions, Is.EqualTo(32 * counts.WarpInstructions));
    }

    [Test]
    public void LaunchesAddUp()
    {
        using var program = new Program(Body("ld.global.u32 %r5, [%rd1];"));
        var data = (ulong)program.Machine.Allocate(0, 4096);
        program.Machine.Fill(0, (void*)data, 0, 4096, 0);
        program.Launch("k", 1, 32, data);
        program.Launch("k", 3, 64, data);
        Assert.That(program.Machine.Launches.Select(launch => launch.GlobalLoadRequests), Is.EqualTo(new long[] { 1, 6 }));
        var total = program.Machine.CountsByKernel["k"];
        Assert.That(total.Launches, Is.EqualTo(2));
        Assert.That(total.Threads, Is.EqualTo(32 + 192));
        Assert.That(total.GlobalLoadRequests, Is.EqualTo(7));
        Assert.That(total.DistinctSectorsRead, Is.EqualTo(2), "each launch reads the sector anew");
        Assert.That(total.LaneInstructions, Is.EqualTo(program.Machine.Launches.Sum(launch => launch.LaneInstructions)));
        Assert.That(total.ToString(), Does.Contain("LoadGlobal: 7 of warps, 224 of threads"));
        Assert.That(program.Machine.Profile("k"), Does.Contain("ld.global.u32 %r5, [%rd1]"));
        program.Machine.ResetCounts();
        Assert.That(program.Machine.Launches, Is.Empty);
        Assert.That(program.Machine.CountsByKernel, Is.Empty);
        Assert.That(() => program.Machine.LastLaunch, Throws.InvalidOperationException);
    }

    private static LaunchCounts Run(string body, PtxMachineOptions? options = null)
    {
        using var program = new Program(Body(body), options);
        var data = (ulong)program.Machine.Allocate(0, 4096);
        program.Machine.Fill(0, (void*)data, 0, 4096, 0);
        program.Launch("k", 1, 32, new Arguments { Data = data });
        return program.Machine.LastLaunch;
    }

    private static string Body(string body) => Program.Kernel($$"""
        .shared .align 16 .b8 tile[8192];
        .shared .align 4 .b8 word[4];
        .local .align 4 .b8 own[4];
        ld.param.u64 %rd1, [p];
        mov.u32 %r1, %tid.x;
        {{body}}
        ret;
        """, 8);
}
