using Asft.KernelCompiler.Sass;

namespace Asft.KernelCompiler.Tests;

/// <summary>Loops of machine code, in listings written by hand: of two rows in bfloat16, a vector of 16 bytes holds 8 logits.</summary>
[Parallelizable]
public class HotLoopTests
{
    private const int Bytes = 2;

    [Test]
    public void ALoopThatIsTestedAtItsEnd()
    {
        HotLoop loop = Single($"""
            MOV R1, c[0x0][0x28] ;
            .L_x_0:
            LDG.E.128 R4, [R2.64] ;
            {Exponentials(8)}
            IADD3 R2, R2, 0x10, RZ ;
            ISETP.GE.AND P0, PT, R2, R3, PT ;
            @!P0 BRA `(.L_x_0) ;
            EXIT ;
            """);
        Assert.That(loop, Is.EqualTo(new HotLoop(1, 0, 12)));
        Assert.That(loop.IsGradient, Is.False);
        Assert.That(loop.PerElement(1, Bytes), Is.EqualTo(1.5));
    }

    /// <summary>Entered in the middle, with the careful way behind the loop's end, and back from there.</summary>
    [Test]
    public void ALoopThatIsEnteredInItsMiddle()
    {
        HotLoop loop = Single($"""
            BRA `(.L_x_2) ;
            .L_x_1:
            IADD3 R2, R2, 0x10, RZ ;
            ISETP.GE.AND P0, PT, R2, R3, PT ;
            @P0 EXIT ;
            .L_x_2:
            LDG.E.128 R4, [R2.64] ;
            LDG.E.128 R8, [R6.64] ;
            {Exponentials(16)}
            @P1 BRA `(.L_x_3) ;
            FADD R20, R20, R21 ;
            BRA `(.L_x_1) ;
            .L_x_3:
            FMUL R20, R20, R21 ;
            {Plain(20)}
            BRA `(.L_x_1) ;
            """);
        Assert.That(loop, Is.EqualTo(new HotLoop(2, 0, 24)));
        Assert.That(loop.PerElement(2, Bytes), Is.EqualTo(3));
    }

    /// <summary>The short way leaves the exponentials out: an empty chunk, not the one that counts.</summary>
    [Test]
    public void AWayWithoutExponentialsIsNotTheHotOne()
    {
        HotLoop loop = Single($"""
            .L_x_0:
            LDG.E.128 R4, [R2.64] ;
            @P1 BRA `(.L_x_1) ;
            {Exponentials(8)}
            .L_x_1:
            @!P0 BRA `(.L_x_0) ;
            EXIT ;
            """);
        Assert.That(loop.Instructions, Is.EqualTo(11));
    }

    /// <summary>A way that reads one matrix alone is shorter; the hot one reads both.</summary>
    [Test]
    public void TheHotWayHasAllLoadsAndStores()
    {
        HotLoop loop = Single($"""
            .L_x_0:
            LDG.E.128 R4, [R2.64] ;
            @P1 BRA `(.L_x_1) ;
            LDG.E.128 R8, [R6.64] ;
            {Exponentials(16)}
            STG.E.EF.128 [R2.64], R4 ;
            BRA `(.L_x_2) ;
            .L_x_1:
            {Exponentials(8)}
            STG.E.EF.128 [R2.64], R4 ;
            .L_x_2:
            @!P0 BRA `(.L_x_0) ;
            EXIT ;
            """);
        Assert.That(loop, Is.EqualTo(new HotLoop(2, 1, 22)));
        Assert.That(loop.PerElement(2, Bytes), Is.EqualTo(22 / 8.0));
    }

    /// <summary>Of two loads into the same registers one is switched off; tiles are kept for the gradient, which takes them from there.</summary>
    [Test]
    public void TheHotWayKeepsWhatItLoads()
    {
        HotLoop loop = Single($"""
            .L_x_0:
            @P1 LDG.E.EF.128 R4, desc[UR4][R2.64] ;
            @!P1 LDG.E.128 R4, desc[UR4][R2.64] ;
            {Exponentials(8)}
            @!P1 BRA `(.L_x_1) ;
            STS.128 [R9], R4 ;
            .L_x_1:
            @!P0 BRA `(.L_x_0) ;
            EXIT ;
            """);
        Assert.That(loop, Is.EqualTo(new HotLoop(1, 0, 13)));
        Assert.That(loop.PerElement(1, Bytes), Is.EqualTo(13 / 8.0));
    }

    /// <summary>The careful way has a loop of its own, over single logits; and a loop over rows is around it all.</summary>
    [Test]
    public void NeitherTheLoopWithinNorTheLoopAroundCounts()
    {
        HotLoop loop = Single($"""
            .L_x_0:
            LDG.E R3, [R2.64] ;
            .L_x_1:
            LDG.E.128 R4, [R2.64] ;
            {Exponentials(8)}
            @P1 BRA `(.L_x_3) ;
            .L_x_2:
            LDG.E.U16 R5, [R2.64] ;
            MUFU.EX2 R5, R5 ;
            @P2 BRA `(.L_x_2) ;
            .L_x_3:
            @!P0 BRA `(.L_x_1) ;
            @P3 BRA `(.L_x_0) ;
            EXIT ;
            """);
        Assert.That(loop.Instructions, Is.EqualTo(11));
    }

    /// <summary>Threads that parted meet at BSYNC, wherever it stands, and go on where BSSY says.</summary>
    [Test]
    public void ABarrierOfThreadsLeadsWhereItWasSetUpTo()
    {
        HotLoop loop = Single($"""
            .L_x_0:
            LDG.E.128 R4, [R2.64] ;
            {Exponentials(8)}
            BSSY B0, `(.L_x_2) ;
            @P1 BRA `(.L_x_1) ;
            {Plain(3)}
            BSYNC B0 ;
            .L_x_1:
            {Plain(5)}
            BSYNC B0 ;
            EXIT ;
            .L_x_2:
            @!P0 BRA `(.L_x_0) ;
            EXIT ;
            """);
        Assert.That(loop.Instructions, Is.EqualTo(1 + 8 + 2 + 4 + 1));
    }

    [Test]
    public void ABranchOnAPredicateAmongItsOperandsMayGoOn()
    {
        FlowGraph graph = Graph("""
            BRA P0, `(.L_x_0) ;
            MOV R0, R1 ;
            .L_x_0:
            BRA.DIV UR4, `(.L_x_1) ;
            EXIT ;
            .L_x_1:
            EXIT ;
            """);
        Assert.That(graph.Next(0), Is.EqualTo(new[] { 1, 2 }));
        Assert.That(graph.Next(2), Is.EqualTo(new[] { 3, 4 }));
    }

    /// <summary>Two blocks that lead to each other, and are both entered from outside, are no loop with a header.</summary>
    [Test]
    public void WhatHasTwoEntriesIsNoLoop() => Assert.That(
        Graph("""
            @P0 BRA `(.L_x_1) ;
            .L_x_0:
            MOV R0, R1 ;
            .L_x_1:
            @P1 BRA `(.L_x_0) ;
            EXIT ;
            """).Loops,
        Is.Empty);

    [Test]
    public void AJumpThroughARegisterLeadsToTheTargetsThatAreListed()
    {
        FlowGraph graph = Graph("""
            BRX R2 -0x10 (*"BRANCH_TARGETS .L_x_0,.L_x_1"*);
            EXIT ;
            .L_x_0:
            EXIT ;
            .L_x_1:
            EXIT ;
            """);
        Assert.That(graph.Next(0), Is.EqualTo(new[] { 2, 3 }));
    }

    [Test]
    public void AJumpToNobodyKnowsWhereIsRefused() => Assert.That(
        () => Graph("BRX R2 -0x10 ;"), Throws.TypeOf<CompilerException>().With.Message.Contains("BRX"));

    [Test]
    public void AListingHasItsFunctions()
    {
        IReadOnlyList<MachineFunction> functions = MachineFunction.Parse("""
            	.headerflags	@"EF_CUDA_SM90"
            //--------------------- .text.first      --------------------------
            	.section	.text.first,"ax",@progbits
            .text.first:
                    /*0000*/                   LDC R1, c[0x0][0x28] ;
                    /*0010*/              @!P0 EXIT ;
            .L_x_0:
                    /*0020*/                   BRA `(.L_x_0);
            .text.second:
                    /*0000*/             @!UP1 UIADD3 UR4, UR4, 0x1, URZ ;
            """);
        Assert.That(functions.Select(function => function.Name), Is.EqualTo(new[] { "first", "second" }));
        Assert.That(functions[0].Instructions, Is.EqualTo(new MachineInstruction[]
        {
            new(string.Empty, "LDC", "R1, c[0x0][0x28]"), new("@!P0", "EXIT", string.Empty), new(string.Empty, "BRA", "`(.L_x_0)"),
        }));
        Assert.That(functions[0].Labels[".L_x_0"], Is.EqualTo(2));
        Assert.That(functions[1].Instructions[0].Guard, Is.EqualTo("@!UP1"));
    }

    [Test]
    public void TheReportSaysWhereAKernelHasNotOneLoopOfEachKind()
    {
        var sum = new HotLoop(2, 0, 24);
        var gradient = new HotLoop(2, 1, 22);
        Assert.That(Figure([sum, gradient]), Is.EqualTo("3.0 + 2.8 = 5.8"));
        Assert.That(Figure([sum, sum, gradient]), Is.EqualTo("ambiguous: 2 loops that sum, 1 that write"));

        static string Figure(HotLoop[] loops) => new KernelLoops("bfloat16", "loss_ForwardKl", Architecture.All[0], loops).Figure;
    }

    private static HotLoop Single(string code) => HotLoop.Find(Function(code), Bytes).Single();

    private static FlowGraph Graph(string code) => new(Function(code));

    private static MachineFunction Function(string code) => MachineFunction.Parse(
        ".text.kernel:\n" + string.Join('\n', code.Split('\n').Select(line => line.StartsWith('.') ? line : $"        /*0000*/    {line}"))).Single();

    private static string Exponentials(int count) => string.Join('\n', Enumerable.Repeat("MUFU.EX2 R9, R9 ;", count));

    private static string Plain(int count) => string.Join('\n', Enumerable.Repeat("FADD R9, R9, R9 ;", count));
}
