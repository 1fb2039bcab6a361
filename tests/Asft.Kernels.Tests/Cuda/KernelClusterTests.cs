using Asft.Kernels.Cuda;
using Asft.Kernels.Reference;
using Asft.PtxVm;
using CsCheck;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>
/// Rows that stay in shared memory: of one block, in part or whole, and of a cluster. Devices with very little of it make both of short rows.
/// </summary>
[Parallelizable]
public unsafe class KernelClusterTests
{
    private const int Cases = 80;

    /// <summary>Room for three tiles of two rows.</summary>
    private const int Room = 6 << 10;

    private static readonly CudaDevice s_clusters = MachineKernel.DeviceFor(BlocksOfARow.Cluster) with { SharedBytes = RowBlock.DeclaredBytes + Room };
    private static readonly CudaDevice s_alone = s_clusters with { Major = 8 };
    private static readonly ReferenceTokenLossKernel s_reference = new();

    [Test]
    public void AgreesWithTheReference([Values] bool isCluster) => Long(RandomCase.Any).ForEach(
        Cases, test => KernelPromises.LossAndGradientAreExact(Kernel(isCluster), test with { HasEntropy = false }), threads: 1);

    [Test]
    public void EveryObjectiveAgreesWithTheReference([Values] bool isCluster) => Long(RandomCase.General).ForEach(
        Cases, test => KernelPromises.LossAndGradientAreExact(Kernel(isCluster), test with { HasEntropy = false }), threads: 1);

    /// <summary>Labels, and the largest logit, in every block's part and at the edges.</summary>
    [Test]
    public void EveryPartHasItsLabels([Values(ElementType.BFloat16, ElementType.Float16, ElementType.Float32)] ElementType type, [Values] KlDirection direction)
    {
        const int Vocabulary = 5000;
        int[] places = [0, 50, 130, 1100, 2047, 2048, 3000, 4160, 4950, 4999];
        double[] row = [.. Enumerable.Range(0, Vocabulary).Select(i => i * 7919L % 96 / 16.0)];
        double[] logits = [.. places.SelectMany(place => row.Select((x, i) => i == place ? 8 : x))];
        double[] reference = [.. places.SelectMany(_ => Enumerable.Reverse(row))];
        LossObjective objective = LossObjective.Asft() with { KlDirection = direction };
        using var run = new KernelRun(objective, logits, reference, [.. places.Select(place => (long)place)], type, padding: 1);
        using var exact = new KernelRun(objective, logits, reference, [.. places.Select(place => (long)place)], ElementType.Float64, padding: 1);
        MachineKernel kernel = Kernel(isCluster: true);
        run.Forward(kernel, inPlace: true);
        exact.Forward(s_reference);
        Assert.That(kernel.Machine.LastLaunch.Blocks, Is.GreaterThan(2 * places.Length));
        Assert.That(run.Predicted, Is.EqualTo(places));
        Tolerance.AssertOutputs(run.Read(run.Outputs.Loss), exact.Read(exact.Outputs.Loss), type, "loss");
        Tolerance.AssertGradient(run.ReadMatrix(run.Logits), exact.ReadMatrix(exact.Gradient), type, "gradient");
    }

    /// <summary>Whichever block runs first, the cluster's parts are merged in one order.</summary>
    [Test]
    public void TheSameInputGivesTheSameBits([Values] bool inPlace, [Values] KlDirection direction)
    {
        LossObjective objective = LossObjective.Asft() with { KlDirection = direction };
        var test = new RandomCase(objective, 2, 4_500, ElementType.BFloat16, ElementType.BFloat16, 7, inPlace, 42, HasEntropy: false);
        byte[]? first = null;
        for (int seed = 1; seed <= 5; seed++)
        {
            using KernelRun run = test.Run();
            MachineKernel kernel = MachineKernel.Get(s_clusters, seed);
            run.Forward(kernel, inPlace);
            Assert.That(kernel.Machine.LastLaunch.Blocks, Is.EqualTo(2 * 4));
            byte[] bits = run.Bits();
            Assert.That(bits, Is.EqualTo(first ?? bits));
            first = bits;
        }
    }

    /// <summary>Part of a device may have no room for the blocks of a large cluster close together, or for any.</summary>
    [Test]
    public void AClusterIsAsLargeAsTheDeviceRuns([Values(16, 4, 1)] int largest)
    {
        using var machine = new PtxMachine(new PtxMachineOptions { Devices = [s_clusters], LargestCluster = largest });
        using var kernel = new CudaTokenLossKernel(machine, 0);
        var test = new RandomCase(LossObjective.Sft, 3, 45_000, ElementType.BFloat16, ElementType.BFloat16, 0, false, 1, HasReference: false, HasEntropy: false);
        using KernelRun run = test.Run();
        using KernelRun exact = test.Run(exact: true);
        run.Forward(new MachineDevice(machine, kernel));
        exact.Forward(s_reference);
        test.AssertAgree(run, exact, 1);
        Assert.That(machine.LastLaunch.Blocks, Is.EqualTo(largest == 16 ? 3 * 16 : 3), "87 tiles, of which a block keeps 6");
    }

    /// <summary>A row of which float32 keeps too few digits is summed again by the cluster's first block.</summary>
    [Test]
    public void ARowThatFloat32LeavesInDoubt([Values(10, 2500, 4400)] int label, [Values(10, 2600, 4300)] int heavy)
    {
        const int Vocabulary = 4500;
        var logits = new double[Vocabulary];
        var reference = new double[Vocabulary];
        reference[heavy] = 90;
        logits[label] = -95;
        MachineKernel kernel = Kernel(isCluster: true);
        KernelFiniteLogitTests.AssertExact(
            new() { Weighting = TokenWeighting.ImportanceRatio, WeightMax = 1e30, KlWeight = 0.1 }, logits, reference, label, kernel);
        Assert.That(kernel.Machine.CountsByKernel["loss_ForwardKl"].Blocks, Is.GreaterThan(2), "of the two losses");
    }

    private static MachineKernel Kernel(bool isCluster) => MachineKernel.Get(isCluster ? s_clusters : s_alone);

    private static Gen<RandomCase> Long(Gen<RandomCase> cases) => cases.Select(test => test with { Vocabulary = test.Vocabulary + 1200 + (test.Seed % 2500) });
}
