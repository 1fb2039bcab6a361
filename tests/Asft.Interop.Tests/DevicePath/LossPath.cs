using Asft.Kernels.Tests.Cuda;
using NUnit.Framework.Internal;
using static TorchSharp.torch;

namespace Asft.Interop.Tests.DevicePath;

/// <summary>
/// The ways from a tensor to a kernel. A fixture that takes one of their names runs on each: what it asserts holds on all of them.
/// </summary>
internal static class LossPath
{
    /// <summary>Tensors in host memory and the kernel chosen for them: the user's way without a GPU.</summary>
    public const string Host = "host";

    /// <summary>Tensors in host memory, treated as if the host could not read them; see <see cref="HostMemoryDevice"/>.</summary>
    public const string Double = "double";

    /// <summary>The same, with the CUDA kernels on the PTX virtual machine; see <see cref="MachineDevice"/>.</summary>
    public const string Machine = "ptx";

    /// <summary>Tensors on the first CUDA device and the native driver: the user's way with a GPU.</summary>
    public const string Cuda = "cuda";

    private static readonly Lazy<string?> s_noCuda = new(static () => cuda.is_available()
        ? null
        : "there is no CUDA device, or the tests are built with TorchSharp-cpu instead of TorchSharp-cuda-linux or -windows");

    private static readonly Lazy<string[]> s_devices = new(static () => NoCuda is null ? [Double, Machine, Cuda] : [Double, Machine]);

    /// <summary>Why nothing can run on <see cref="Cuda"/>; null if it can.</summary>
    public static string? NoCuda => s_noCuda.Value;

    /// <summary>Each path that this machine has.</summary>
    public static IEnumerable<TestFixtureData> All => Select([Host, .. s_devices.Value]);

    /// <summary>Those on which the host does not look at tensors.</summary>
    public static IEnumerable<TestFixtureData> Devices => Select(s_devices.Value);

    /// <summary>Those that are fast enough for many steps or large tensors, and have them in host memory.</summary>
    public static IEnumerable<TestFixtureData> Fast => Select([Host, Double]);

    /// <summary>Takes the path for every loss from now on, until the result is disposed.</summary>
    public static IDisposable? Take(string path)
    {
        switch (path)
        {
            case Double:
                return KernelChooser.Substitute(new HostMemoryDevice());
            case Machine:
                return KernelChooser.Substitute(MachineKernel.Get(BlocksOfARow.Several).Shown);
            case Cuda:
                set_default_device(CUDA);
                return new Undo(() => set_default_device(CPU));
            default:
                return null;
        }
    }

    private static IEnumerable<TestFixtureData> Select(string[] paths) => paths.Select(path =>
    {
        var fixture = new TestFixtureData(path);
        fixture.Properties.Add(PropertyNames.Category, path);
        return fixture;
    });

    private sealed class Undo(Action action) : IDisposable
    {
        public void Dispose() => action();
    }
}
