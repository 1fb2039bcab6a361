using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Asft.Kernels.Cuda;
using Asft.Kernels.Ilgpu;
using Asft.Kernels.Ilgpu.OnDevice;
using Asft.PtxVm;
using ILGPU;
using ILGPU.Backends.EntryPoints;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace Asft.Kernels.Tests.Ilgpu;

/// <summary>
/// The portable backend's programs as the PTX that ILGPU makes of them, on the virtual machine: PTX of another compiler than that which the
/// machine grew up with. The memory is that of ILGPU's CPU accelerator, whose views are shown to the machine for each launch.
/// </summary>
internal sealed unsafe partial class PtxProgram(ProgramKey key) : RowProgram
{
    /// <summary>ILGPU's reductions are for whole warps, so the threads are a GPU's, not the CPU accelerator's.</summary>
    private const uint Threads = MaxGroup;

    private static readonly CudaArchitecture s_architecture = CudaArchitecture.SM_80;
    private static readonly Context s_context = Context.Create(builder => builder.EnableAlgorithms());
    private static readonly PTXBackend s_backend = new(s_context, new CudaCapabilityContext(s_architecture), s_architecture, CudaInstructionSet.ISA_75, null);
    private static readonly PtxMachine s_machine = new();

    private readonly Dictionary<string, nint> _functions = [];

    /// <summary>The kernel whose programs these are.</summary>
    public static IlgpuTokenLossKernel Kernel() => new(Devices.Named("ilgpu:cpu"), null, (_, key) => new PtxProgram(key));

    /// <summary>The PTX of a program.</summary>
    /// <param name="key">The key.</param>
    /// <param name="method"><c>Sums</c> or <c>Gradient</c>.</param>
    public static string Compile(ProgramKey key, string method)
    {
        var entry = EntryPointDescription.FromExplicitlyGroupedKernel(KernelsOf(key).GetMethod(method)!);
        lock (s_backend)
        {
            return ((PTXCompiledKernel)s_backend.Compile(entry, default(KernelSpecialization))).PTXAssembly;
        }
    }

    public override void LaunchSums(in RowLaunch launch, ArrayView<byte> policy, ArrayView<byte> reference, ArrayView<byte> sums) =>
        Launch("Sums", launch, policy, reference, sums, key.Policy == ElementType.Float64 ? sizeof(DeviceRowState<double>) : sizeof(DeviceRowState<float>));

    public override void LaunchGradient(in RowLaunch launch, ArrayView<byte> policy, ArrayView<byte> reference, ArrayView<byte> rows) =>
        Launch("Gradient", launch, policy, reference, rows, key.Policy == ElementType.Float64 ? sizeof(RowGradient<double>) : sizeof(RowGradient<float>));

    private void Launch(string method, in RowLaunch launch, ArrayView<byte> policy, ArrayView<byte> reference, ArrayView<byte> rows, int rowBytes)
    {
        if (!_functions.TryGetValue(method, out nint function))
        {
            string ptx = Compile(key, method);
            _functions[method] = function = s_machine.GetFunction(0, s_machine.LoadModule(0, ptx), Entry().Match(ptx).Groups["name"].Value);
        }

        using var shown = new Cuda.ShownMemory(s_machine);
        View policyView = Show(shown, "policy", policy, key.Policy.SizeInBytes(), isWritten: true);
        View referenceView = Show(shown, "reference", reference, key.Reference.SizeInBytes(), isWritten: true);
        View rowView = Show(shown, "rows", rows, rowBytes, isWritten: method == "Gradient");
        var cuda = new CudaLaunch(function, (uint)launch.Rows, 1, Threads, 0);
        if (key.Policy == ElementType.Float64)
        {
            var parameters = new Parameters<double>(policyView, referenceView, rowView, launch.Vocabulary, launch.Factor, launch.Inner);
            s_machine.Launch(0, cuda, &parameters, sizeof(Parameters<double>));
        }
        else
        {
            var parameters = new Parameters<float>(policyView, referenceView, rowView, launch.Vocabulary, (float)launch.Factor, (float)launch.Inner);
            s_machine.Launch(0, cuda, &parameters, sizeof(Parameters<float>));
        }
    }

    private static View Show(Cuda.ShownMemory shown, string name, ArrayView<byte> view, int elementBytes, bool isWritten)
    {
        void* address = (void*)view.LoadEffectiveAddressAsPtr();
        shown.Array(address, view.Length, name, isWritten);
        return new View((nint)address, view.Length / elementBytes);
    }

    [GeneratedRegex(@"\.entry\s+(?<name>\w+)")]
    private static partial Regex Entry();

    /// <summary>A view as a kernel of ILGPU's takes it.</summary>
    private readonly record struct View(nint Address, long Length);

    /// <summary>The parameters of both kernels, one after the other.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly record struct Parameters<T>(View Policy, View Reference, View Rows, long Vocabulary, T Factor, T Inner)
        where T : unmanaged;
}
