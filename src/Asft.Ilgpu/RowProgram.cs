using System.Numerics;
using Asft.Kernels.Divergence;
using Asft.Kernels.Ilgpu.OnDevice;
using ILGPU;
using ILGPU.Runtime;

namespace Asft.Kernels.Ilgpu;

/// <summary>
/// The device code of one <see cref="ProgramKey"/>, with its types hidden: views are of bytes, scalars of doubles.
/// Each of the two programs is compiled when it is first launched.
/// </summary>
internal abstract class RowProgram
{
    /// <summary>Most threads a group may have: four warps of NVIDIA's, two wavefronts of AMD's.</summary>
    public const int MaxGroup = 128;

    /// <summary>Makes the program of a key.</summary>
    /// <param name="accelerator">The device it is for.</param>
    /// <param name="key">The key.</param>
    /// <returns>The program.</returns>
    public static RowProgram Create(Accelerator accelerator, ProgramKey key) =>
        (RowProgram)Activator.CreateInstance(typeof(RowProgram<,,,,,,,,,>).MakeGenericType(TypesOf(key)), accelerator)!;

    /// <summary>The device code of a key.</summary>
    /// <param name="key">The key.</param>
    /// <returns>The class that holds it.</returns>
    public static Type KernelsOf(ProgramKey key) => typeof(RowKernels<,,,,,,,,,>).MakeGenericType(TypesOf(key));

    /// <summary>
    /// Starts <see
    /// cref="RowKernels{T,TMath,TStorage,TElement,TReferenceStorage,TReferenceElement,TDivergence,TSmoothing,TSoftcap,TEntropy}.Sums"/>.
    /// </summary>
    /// <param name="launch">Where and on how many rows.</param>
    /// <param name="policy">Policy logits.</param>
    /// <param name="reference">Reference logits, or any other view where they are not read.</param>
    /// <param name="sums">Where the sums go.</param>
    public abstract void LaunchSums(in RowLaunch launch, ArrayView<byte> policy, ArrayView<byte> reference, ArrayView<byte> sums);

    /// <summary>
    /// Starts <see
    /// cref="RowKernels{T,TMath,TStorage,TElement,TReferenceStorage,TReferenceElement,TDivergence,TSmoothing,TSoftcap,TEntropy}.Gradient"/>.
    /// </summary>
    /// <param name="launch">Where and on how many rows.</param>
    /// <param name="policy">Policy logits, which become the gradient.</param>
    /// <param name="reference">Reference logits, or any other view where they are not read.</param>
    /// <param name="rows">The coefficients of each row.</param>
    public abstract void LaunchGradient(in RowLaunch launch, ArrayView<byte> policy, ArrayView<byte> reference, ArrayView<byte> rows);

    private static Type[] TypesOf(ProgramKey key)
    {
        bool wide = key.Policy == ElementType.Float64;
        return
        [
            wide ? typeof(double) : typeof(float),
            wide ? typeof(DoubleMath) : typeof(SingleMath),
            StorageOf(key.Policy),
            ElementOf(key.Policy),
            StorageOf(key.Reference),
            ElementOf(key.Reference),
            key.Use switch
            {
                ReferenceUse.None => typeof(NoReference),
                ReferenceUse.Sum => typeof(ReferenceSum),
                ReferenceUse.ForwardKl => typeof(ForwardKl),
                _ => typeof(ReverseKl),
            },
            key.Smoothing ? typeof(On) : typeof(Off),
            key.Softcap ? typeof(On) : typeof(Off),
            key.Entropy ? typeof(On) : typeof(Off),
        ];
    }

    private static Type StorageOf(ElementType type) => type switch
    {
        ElementType.Float32 => typeof(float),
        ElementType.Float64 => typeof(double),
        _ => typeof(ushort),
    };

    private static Type ElementOf(ElementType type) => type switch
    {
        ElementType.Float32 => typeof(Float32Element),
        ElementType.Float64 => typeof(Float64Element),
        ElementType.Float16 => typeof(Float16Element),
        _ => typeof(BFloat16Element),
    };
}

/// <summary>Where a program runs, and the scalars it takes.</summary>
/// <param name="Stream">The queue of the device.</param>
/// <param name="Rows">Number of rows, that is of groups.</param>
/// <param name="Group">Threads of a group, a power of two.</param>
/// <param name="Vocabulary">V.</param>
/// <param name="Factor">z = Factor*y.</param>
/// <param name="Inner">s/c under a softcap.</param>
internal readonly record struct RowLaunch(AcceleratorStream Stream, int Rows, int Group, long Vocabulary, double Factor, double Inner);

/// <inheritdoc/>
internal sealed class RowProgram<T, TMath, TStorage, TElement, TReferenceStorage, TReferenceElement, TDivergence, TSmoothing, TSoftcap, TEntropy>
    : RowProgram
    where T : unmanaged, INumber<T>
    where TMath : struct, IRealMath<T>
    where TStorage : unmanaged
    where TElement : struct, IElement<TStorage, T>
    where TReferenceStorage : unmanaged
    where TReferenceElement : struct, IElement<TReferenceStorage, T>
    where TDivergence : struct, IDivergence
    where TSmoothing : struct, ISwitch
    where TSoftcap : struct, ISwitch
    where TEntropy : struct, ISwitch
{
    private readonly Accelerator _accelerator;
    private Action<AcceleratorStream, KernelConfig, ArrayView<TStorage>, ArrayView<TReferenceStorage>, ArrayView<DeviceRowState<T>>, long, T, T>? _sums;
    private Action<AcceleratorStream, KernelConfig, ArrayView<TStorage>, ArrayView<TReferenceStorage>, ArrayView<RowGradient<T>>, long, T, T>? _gradient;

    public RowProgram(Accelerator accelerator) => _accelerator = accelerator;

    public override void LaunchSums(in RowLaunch launch, ArrayView<byte> policy, ArrayView<byte> reference, ArrayView<byte> sums)
    {
        _sums ??= _accelerator.LoadKernel<ArrayView<TStorage>, ArrayView<TReferenceStorage>, ArrayView<DeviceRowState<T>>, long, T, T>(
            RowKernels<T, TMath, TStorage, TElement, TReferenceStorage, TReferenceElement, TDivergence, TSmoothing, TSoftcap, TEntropy>.Sums);
        Launch(_sums, launch, policy, reference, sums);
    }

    public override void LaunchGradient(in RowLaunch launch, ArrayView<byte> policy, ArrayView<byte> reference, ArrayView<byte> rows)
    {
        _gradient ??= _accelerator.LoadKernel<ArrayView<TStorage>, ArrayView<TReferenceStorage>, ArrayView<RowGradient<T>>, long, T, T>(
            RowKernels<T, TMath, TStorage, TElement, TReferenceStorage, TReferenceElement, TDivergence, TSmoothing, TSoftcap, TEntropy>.Gradient);
        Launch(_gradient, launch, policy, reference, rows);
    }

    private static void Launch<TRow>(
        Action<AcceleratorStream, KernelConfig, ArrayView<TStorage>, ArrayView<TReferenceStorage>, ArrayView<TRow>, long, T, T> kernel,
        in RowLaunch launch,
        ArrayView<byte> policy,
        ArrayView<byte> reference,
        ArrayView<byte> rows)
        where TRow : unmanaged => kernel(
            launch.Stream,
            new KernelConfig(launch.Rows, launch.Group),
            policy.Cast<TStorage>(),
            reference.Cast<TReferenceStorage>(),
            rows.Cast<TRow>(),
            launch.Vocabulary,
            T.CreateChecked(launch.Factor),
            T.CreateChecked(launch.Inner));
}
