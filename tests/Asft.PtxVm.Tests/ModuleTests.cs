using Asft.Kernels.Cuda;

namespace Asft.PtxVm.Tests;

/// <summary>What is refused when a module is loaded, and that it says why.</summary>
public class ModuleTests
{
    [TestCase("wgmma.fence.sync.aligned;", "wgmma.fence.sync.aligned")]
    [TestCase("add.cc.u32 %r1, %r2, %r3;", "add.cc.u32")]
    [TestCase("add.bf16x3 %r1, %r2, %r3;", "bf16x3")]
    [TestCase("red.global.add.f32 [%rd1], %f1;", ".f32")]
    [TestCase("ld.global.v8.u32 %r1, [%rd1];", ".v8")]
    [TestCase("fma.rn.f16 %r1, %r2, %r3, %r4;", "%r1 has 32 bits where 16 belong")]
    [TestCase("mov.u32 %r1, %clusterid.x;", "%clusterid.x")]
    [TestCase("add.u32 %r1, %r2;", "2 operands where 3 belong")]
    [TestCase("bra NOWHERE;", "NOWHERE")]
    [TestCase("ld.param.u64 %rd1, [p+64];", "64 bytes")]
    [TestCase("ld.param.u64 %rd1, [p+4];", "8 bytes at 4")]
    [TestCase("st.param.u64 [p], %rd1;", "read-only")]
    [TestCase("cvt.rn.satfinite.e4m3x2.f32 %rs1, %f1, %f2;", "e4m3x2")]
    [TestCase("add.u32 %r1, %r2, undeclared;", "undeclared")]
    public void AnUnknownInstruction(string instruction, string named)
    {
        var ptx = Program.Kernel("mov.u32 %r0, 0;\n" + instruction + "\nret;");
        using var machine = new PtxMachine();
        var error = Assert.Throws<CudaException>(() => machine.LoadModule(0, ptx))!;
        var line = Array.IndexOf(ptx.Split('\n'), instruction) + 1;
        Assert.That(error.Message, Does.Contain(named));
        Assert.That(error.Message, Does.Contain($"line {line}").And.Contain("k"));
    }

    [TestCase(".version 7.8\n.target sm_80\n.visible .entry k(", "end of text")]
    [TestCase("this is not PTX", "this")]
    [TestCase(".visible .entry k() { .reg .b128 %r<3>; }", ".b128")]
    [TestCase(".visible .entry k() { call.uni vprintf, (a); }", "'a'")]
    [TestCase(".visible .entry k() { .param .b64 a; call.uni vprintf, (a); }", "vprintf")]
    public void TextThatIsNoModule(string ptx, string named)
    {
        using var machine = new PtxMachine();
        Assert.That(() => machine.LoadModule(0, ptx), Throws.TypeOf<CudaException>().With.Message.Contains(named));
    }

    [Test]
    public void VariablesWithContents()
    {
        const string Outside = """
            .const .align 4 .f32 numbers[3] = {0f3F800000, 2.5, 0f40400000};
            .global .align 8 .u64 pointers[2] = {generic(words)+4, 77};
            .global .align 4 .b8 words[8] = {1, 0, 0, 0, 0x22, 0x11};
            """;
        using var program = new Program(Program.Kernel("""
            ld.param.u64 %rd1, [p];
            ld.const.f32 %f1, [numbers+4];
            mov.u64 %rd5, numbers; ld.const.f32 %f2, [%rd5+8]; add.f32 %f1, %f1, %f2;
            st.global.f32 [%rd1], %f1;
            ld.global.u64 %rd2, [pointers]; ld.global.u32 %r1, [%rd2];
            ld.global.u32 %r2, [words]; add.u32 %r1, %r1, %r2;
            st.global.u32 [%rd1+4], %r1;
            ld.global.u32 %r3, [pointers+8]; st.global.u32 [%rd1+8], %r3;
            ret;
            """, 8, Outside));
        var results = new uint[3];
        program.Launch("k", 1, 1, program.Use(results));
        Assert.That(BitConverter.UInt32BitsToSingle(results[0]), Is.EqualTo(5.5f));
        Assert.That(results[1..], Is.EqualTo(new uint[] { 0x1122 + 1, 77 }));
    }

    [Test]
    public void VariablesBelongToAMachine()
    {
        // what one machine's kernels leave in a variable, another's do not see
        var ptx = Program.Kernel("ld.param.u64 %rd1, [p]; ld.global.u32 %r1, [count]; add.u32 %r1, %r1, 1; st.global.u32 [count], %r1; st.global.u32 [%rd1], %r1; ret;", 8, ".global .u32 count = 5;");
        for (var i = 0; i < 2; i++)
        {
            using var program = new Program(ptx);
            var results = new uint[1];
            var address = program.Use(results);
            program.Launch("k", 1, 1, address);
            program.Launch("k", 1, 1, address);
            Assert.That(results[0], Is.EqualTo(7));
        }
    }

    [Test]
    public void SharedMemory()
    {
        using var program = new Program(Program.Kernel("""
            .shared .align 4 .b8 first[4];
            .shared .align 16 .b8 second[64];
            ld.param.u64 %rd1, [p];
            mov.u32 %r1, first; mov.u32 %r2, second;
            sub.u32 %r3, %r2, %r1; st.global.u32 [%rd1], %r3;
            st.shared.u32 [second+60], 5; ld.shared.u32 %r4, [second+60]; st.global.u32 [%rd1+4], %r4;
            mov.u32 %r5, %total_smem_size; st.global.u32 [%rd1+8], %r5;
            ret;
            """, 8));
        var results = new uint[3];
        program.Launch("k", 1, 1, program.Use(results));
        Assert.That(results, Is.EqualTo(new uint[] { 16, 5, 80 }));
    }

    [Test]
    public void CacheHintsChangeNothing()
    {
        using var program = new Program(Program.Kernel("""
            ld.param.u64 %rd1, [p];
            createpolicy.fractional.L2::evict_first.b64 %rd2, 1.0;
            ld.global.nc.L1::no_allocate.L2::128B.v2.u32 {%r1, %r2}, [%rd1];
            ld.global.L2::cache_hint.u32 %r3, [%rd1+8], %rd2;
            ld.global.cs.u32 %r4, [%rd1+12]; ld.global.lu.u32 %r5, [%rd1+12]; ld.global.cg.u32 %r6, [%rd1+12];
            prefetch.global.L2 [%rd1];
            add.u32 %r1, %r1, %r2; add.u32 %r1, %r1, %r3; add.u32 %r1, %r1, %r4; add.u32 %r1, %r1, %r5; add.u32 %r1, %r1, %r6;
            st.global.cs.u32 [%rd1+16], %r1; st.global.wt.u32 [%rd1+20], %r1; st.global.L1::no_allocate.u32 [%rd1+24], %r1; st.global.L2::cache_hint.u32 [%rd1+28], %r1, %rd2;
            ret;
            """, 8));
        var data = new uint[] { 1, 2, 3, 4, 0, 0, 0, 0 };
        program.Launch("k", 1, 1, program.Use(data));
        Assert.That(data, Is.EqualTo(new uint[] { 1, 2, 3, 4, 18, 18, 18, 18 }));
    }
}
