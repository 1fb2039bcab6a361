using Asft.Kernels.Cuda;

namespace Asft.PtxVm.Tests;

/// <summary>Shared memory that a launch sizes, and clusters: what works, and each fault beside it.</summary>
/// <remarks>
/// 64 threads to a block, two blocks to a cluster, two clusters; %r1 is the thread, %r2 the block's rank, %r3 the address of the thread's word in the
/// dynamic shared memory of 256 bytes, %r4 the same word's in the other block.
/// </remarks>
public class ClusterTests
{
    private const string Sync = "barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;";
    private const string Read = "ld.shared::cluster.u32 %r5, [%r4];";

    private static readonly TestCaseData[] Programs =
    [
        Case(null, "the other block's word", $"st.shared.u32 [%r3], %r1; {Sync} {Read} {Sync}"),
        Case(null, "its own word by the cluster's window", "st.shared.u32 [%r3], %r1; ld.shared::cluster.u32 %r5, [%r3];"),
        Case(null, "work between arrival and wait", $"st.shared.u32 [%r3], %r1; {Sync} {Read} barrier.cluster.arrive.aligned; add.u32 %r6, %r5, 1; barrier.cluster.wait.aligned;"),
        Case(PtxFaultKind.UninitializedMemory, "dynamic shared memory that nothing has written", "ld.shared.u32 %r5, [%r3];"),
        Case(PtxFaultKind.UninitializedMemory, "a word that the other block has not written", $"{Sync} {Read} {Sync}"),
        Case(PtxFaultKind.OutOfBounds, "past dynamic shared memory", "st.shared.u32 [%r3+256], %r1;"),
        Case(PtxFaultKind.Race, "a neighbour's word without a barrier", "st.shared.u32 [%r3], %r1; xor.b32 %r5, %r3, 128; ld.shared.u32 %r6, [%r5];", [PtxFaultKind.UninitializedMemory]),
        Case(PtxFaultKind.BlockRace, "the other block's word without a barrier after its second write", $"st.shared.u32 [%r3], 0; {Sync} st.shared.u32 [%r3], %r1; {Read} {Sync}"),
        Case(PtxFaultKind.BlockLeft, "a read of a block that may have left", $"st.shared.u32 [%r3], %r1; {Sync} {Read}"),
        Case(PtxFaultKind.ClusterBarrier, "a block that misses the barrier", $"setp.eq.u32 %p1, %r2, 1; @%p1 bra OUT; {Sync} OUT: mov.u32 %r6, 1;"),
        Case(PtxFaultKind.ClusterBarrier, "a warp that misses the barrier", $"setp.lt.u32 %p1, %r1, 32; @%p1 bra OUT; {Sync} OUT: mov.u32 %r6, 1;"),
        Case(PtxFaultKind.ClusterBarrier, "a wait without an arrival", "barrier.cluster.wait.aligned;"),
        Case(PtxFaultKind.ClusterBarrier, "two arrivals", "barrier.cluster.arrive.aligned; barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;"),
        Case(PtxFaultKind.ClusterBarrier, "threads that ended before", $"setp.eq.u32 %p1, %r1, 7; @%p1 ret; {Sync}"),
        Case(PtxFaultKind.DivergentBarrier, "in one arm of a branch", "and.b32 %r5, %r1, 1; setp.eq.u32 %p1, %r5, 0; @%p1 barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;"),
        Case(PtxFaultKind.OutOfBounds, "a rank that is not there", "mapa.shared::cluster.u32 %r5, %r3, 2;"),
    ];

    [TestCaseSource(nameof(Programs))]
    public void Program(PtxFaultKind[] kinds, string body)
    {
        foreach (var seed in new[] { 1, 2, 3 })
        {
            using var program = new Program(Text(body), Options(seed));
            void Launch() => program.Launch("k", 2, 64, 0UL, blocksY: 2, sharedBytes: 256, cluster: 2);
            if (kinds.Length == 0)
            {
                Assert.That(Launch, Throws.Nothing);
            }
            else
            {
                var fault = Assert.Throws<PtxFaultException>(Launch)!;
                Assert.That(kinds, Does.Contain(fault.Kind), fault.Message);
            }
        }
    }

    /// <summary>Each block adds up what all have: the sum of the ranks' squares, in every block.</summary>
    [Test]
    public void BlocksReadEachOther([Values(2u, 3u, 8u, 16u)] uint size)
    {
        using var program = new Program(
            Text($"""
                ld.param.u64 %rd1, [p];
                mov.u32 %r7, %cluster_nctarank;
                mul.lo.u32 %r8, %r2, %r2;
                st.shared.u32 [%r3], %r8;
                {Sync}
                mov.u32 %r9, 0;
                mov.u32 %r10, 0;
                L: mapa.shared::cluster.u32 %r11, %r3, %r9;
                ld.shared::cluster.u32 %r12, [%r11];
                add.u32 %r10, %r10, %r12;
                add.u32 %r9, %r9, 1;
                setp.lt.u32 %p1, %r9, %r7;
                @%p1 bra L;
                {Sync}
                mov.u32 %r13, %ctaid.y;
                mul.wide.u32 %rd2, %r13, 4;
                add.s64 %rd1, %rd1, %rd2;
                setp.eq.u32 %p1, %r1, 0;
                @%p1 st.global.u32 [%rd1], %r10;
                """),
            Options(1));
        var sums = new int[2 * size];
        program.Launch("k", 1, 64, program.Use(sums), blocksY: 2 * size, sharedBytes: 256, cluster: size);
        Assert.That(sums, Is.All.EqualTo(Enumerable.Range(0, (int)size).Sum(rank => rank * rank)));
    }

    [Test]
    public void WhatIsRefused()
    {
        using var program = new Program(Text("mov.u32 %r5, 1;"), Options(1));
        void Refused(string why, uint blocks, uint shared, uint cluster) => Assert.That(
            () => program.Launch("k", 1, 64, 0UL, blocks, shared, cluster), Throws.TypeOf<CudaException>().With.Message.Contains(why));
        Refused("above 232448", 1, 232_449, 1);
        Refused("clusters of 17", 17, 256, 17);
        Refused("clusters of 2", 3, 256, 2);
        Assert.That(() => new Program(Text("mov.u32 %r5, 1;")), Throws.TypeOf<CudaException>().With.Message.Contains("sm_90"), "on a device that is older");
    }

    private static PtxMachineOptions Options(int seed) => new()
    {
        Seed = seed,
        Devices = [new CudaDevice(0, "PTX virtual machine", 9, 0, 132, 80L << 30, 227 << 10)],
    };

    private static string Text(string body) => PtxVm.Tests.Program.Kernel($"""
        mov.u32 %r1, %tid.x;
        mov.u32 %r2, %cluster_ctarank;
        mov.u32 %r3, words;
        shl.b32 %r4, %r1, 2;
        add.u32 %r3, %r3, %r4;
        mov.u32 %r6, %cluster_nctarank;
        xor.b32 %r5, %r2, 1;
        setp.lt.u32 %p1, %r5, %r6;
        selp.u32 %r5, %r5, 0, %p1;
        mapa.shared::cluster.u32 %r4, %r3, %r5;
        {body}
        ret;
        """, 8, ".extern .shared .align 16 .b8 words[];").Replace("sm_80", "sm_90", StringComparison.Ordinal);

    private static TestCaseData Case(PtxFaultKind? kind, string name, string body, PtxFaultKind[]? others = null) =>
        new TestCaseData(kind is { } one ? new[] { one }.Concat(others ?? []).ToArray() : [], body).SetArgDisplayNames($"{kind?.ToString() ?? "fine"}: {name}");
}
