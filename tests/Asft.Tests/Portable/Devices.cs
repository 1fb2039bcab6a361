using System.Runtime.InteropServices;
using Asft.Kernels.Portable;
using NUnit.Framework;

namespace Asft.Tests.Portable;

/// <summary>
/// The devices that the portable kernel is tested on: ILGPU's CPU accelerator always, and OpenCL and CUDA where there are any.
/// Each is opened once for all tests, since it is compiling device code that takes the time.
/// </summary>
internal static class Devices
{
    private const string NoOpenCl = "opencl";
    private static readonly Dictionary<string, PortableTokenLossKernel> s_open = [];

    static Devices()
    {
        // PoCL 6 with LLVM 18 ends the process while it optimises some programs (see docs/devices.md). It reads the system's own
        // environment, which .NET's is only a copy of.
        if (OperatingSystem.IsLinux())
        {
            _ = SetEnvironmentVariable("POCL_EXTRA_BUILD_FLAGS", "-cl-opt-disable", overwrite: 0);
        }
    }

    /// <summary>Their names, for NUnit's sources; a machine without OpenCL shows it as a test that was skipped.</summary>
    public static IEnumerable<string> Names
    {
        get
        {
            string[] found = [.. PortableDevice.All.Select(device => device.Id)];
            return found.Any(id => id.StartsWith("ilgpu:opencl", StringComparison.Ordinal)) ? found : [.. found, NoOpenCl];
        }
    }

    /// <summary>The device of that name.</summary>
    public static PortableDevice Named(string name)
    {
        if (name == NoOpenCl)
        {
            Assert.Ignore("ILGPU found no OpenCL device: no OpenCL loader, or no driver that it accepts (see docs/devices.md).");
        }

        return PortableDevice.All.Single(device => device.Id == name);
    }

    /// <summary>The kernel on the device of that name, shared by all tests.</summary>
    public static PortableTokenLossKernel Kernel(string name)
    {
        PortableDevice device = Named(name);
        lock (s_open)
        {
            if (!s_open.TryGetValue(name, out PortableTokenLossKernel? kernel))
            {
                s_open.Add(name, kernel = new PortableTokenLossKernel(device));
            }

            return kernel;
        }
    }

    /// <summary>Closes every device.</summary>
    public static void Close()
    {
        lock (s_open)
        {
            foreach (PortableTokenLossKernel kernel in s_open.Values)
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
