namespace Asft.Kernels.Tests;

/// <summary>
/// Random layouts, dtypes and objectives, with models that disagree by more than float32 has digits for. ASFT_RANDOM_CASES sets how many
/// are tried at each register width, 10,000 of them in all otherwise.
/// </summary>
public class RandomCaseTests
{
    private static readonly long s_cases = RandomCase.Cases(1667);

    [TestCase(128)]
    [TestCase(256)]
    [TestCase(512)]
    public void LossAndGradientAreExact(int bits) => RandomCase.Wide.ForEach(
        s_cases, test => KernelPromises.LossAndGradientAreExact(AllKernels.Cpu(1, bits), test));

    [TestCase(128)]
    [TestCase(256)]
    [TestCase(512)]
    public void TheDeferredGradientIsExact(int bits) => RandomCase.Wide.ForEach(
        s_cases, test => KernelPromises.BackwardIsExact(AllKernels.Cpu(1, bits), test, test.Seed % 2 == 0));
}
