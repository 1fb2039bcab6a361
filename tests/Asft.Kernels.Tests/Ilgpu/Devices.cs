using System.Runtime.InteropServices;
using Asft.Kernels.Ilgpu;
using Asft.PtxVm;
using Asft.PtxVm.Driver;
using NUnit.Framework.Interfaces;

namespace Asft.Kernels.Tests.Ilgpu;

/// <summary>
/// The devices that the ILGPU kernel is tested on: ILGPU's CPU accelerator always, and OpenCL and CUDA where there are any.
/// Each is opened once for all tests, since it is compiling device code that takes the time.
/// </summary>
internal static class Devices
{
    private const string NoOpenCl = "no OpenCL device: no OpenCL loader, or no driver that ILGPU accepts (see docs/devices.md)";
    private static readonly Dictionary<string, IlgpuTokenLossKernel> s_open = [];

    static Devices()
    {
        // PoCL 6 with LLVM 18 ends the process while it optimises some programs (see docs/devices.md). It reads the system's own
        // environment, which .NET's is only a copy of.
        if (OperatingSystem.IsLinux())
        {
            _ = SetEnvironmentVariable("POCL_EXTRA_BUILD_FLAGS", "-cl-opt-disable", overwrite: 0);
        }

        if (LibCuda.IsThere)
        {
            LibCuda.Add(new PtxMachine());
        }
    }

    /// <summary>Their names.</summary>
    public static string[] Names => [.. IlgpuDevice.All.Select(device => device.Id)];

    /// <summary>
    /// A fixture for each. Where there is no OpenCL, its tests show as skipped, and none of them begins: an <c>Assert.Ignore</c>
    /// inside a test would reach whatever assertion stands around it.
    /// </summary>
    public static IEnumerable<ITestFixtureData> Fixtures
    {
        get
        {
            foreach (string name in Names)
            {
                yield return new TestFixtureData(name);
            }

            if (!Names.Any(name => name.StartsWith("ilgpu:opencl", StringComparison.Ordinal)))
            {
                yield return new TestFixtureData("opencl").Ignore(NoOpenCl);
            }
        }
    }

    /// <summary>The device of that name.</summary>
    public static IlgpuDevice Named(string name) => IlgpuDevice.All.Single(device => device.Id == name);

    /// <summary>The kernel on the device of that name, shared by all tests.</summary>
    public static IlgpuTokenLossKernel Kernel(string name)
    {
        IlgpuDevice device = Named(name);
        lock (s_open)
        {
            if (!s_open.TryGetValue(name, out IlgpuTokenLossKernel? kernel))
            {
                s_open.Add(name, kernel = new IlgpuTokenLossKernel(device));
            }

            return kernel;
        }
    }

    /// <summary>Closes every device.</summary>
    public static void Close()
    {
        lock (s_open)
        {
            foreach (IlgpuTokenLossKernel kernel in s_open.Values)
            {
                kernel.Dispose();
            }

            s_open.Clear();
        }
    }

    [DllImport("libc", EntryPoint = "setenv", CharSet = CharSet.Ansi, ExactSpelling = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SetEnvironmentVariable(string name, string value, int overwrite);
}

/// <summary>Closes the devices after the last test of this namespace.</summary>
[SetUpFixture]
public class CloseDevices
{
    [OneTimeTearDown]
    public void Close() => Devices.Close();
}
