using Asft.Kernels.Cuda;
using Asft.Kernels.Cuda.Driver;
using Asft.Kernels.Tests;
using Asft.PtxVm;
using Asft.PtxVm.Driver;

namespace Asft.GpuCheck;

/// <summary>Everything, on one device.</summary>
internal static class GpuDay
{
    /// <summary>Checks and measures, and writes the report.</summary>
    /// <param name="ordinal">Ordinal of the device.</param>
    /// <param name="output">Where report.md and report.json go.</param>
    /// <returns>The exit code: 0 when all is as it should be.</returns>
    public static int Run(int ordinal, DirectoryInfo output)
    {
        using PtxMachine? machine = LibCuda.IsThere ? new PtxMachine() : null;
        if (machine is not null)
        {
            LibCuda.Add(machine);
        }

        NativeCudaDriver driver = NativeCudaDriver.Instance;
        if (ordinal < 0 || ordinal >= driver.Devices.Count)
        {
            Console.Error.WriteLine($"There is no device cuda:{ordinal}: {driver.Unavailable ?? $"the driver has {driver.Devices.Count}"}.");
            return 1;
        }

        GpuReport report = Measure(driver, driver.Devices[ordinal], machine is not null);
        output.Create();
        File.WriteAllText(Path.Combine(output.FullName, "report.md"), report.Markdown());
        File.WriteAllText(Path.Combine(output.FullName, "report.json"), report.Json());
        foreach (CheckResult check in report.Checks.Where(check => check.Failure is not null))
        {
            Console.WriteLine($"FAILED {check.Name}: {check.Failure}");
        }

        Console.WriteLine($"{report.Checks.Count - report.Failed} checks passed, {report.Failed} failed, {report.LeftBytes} bytes of device memory not given back; see {output}.");

        // A driver keeps memory for later; the virtual machine tells to the byte.
        return report.Failed == 0 && (machine is null || report.LeftBytes == 0) ? 0 : 1;
    }

    private static GpuReport Measure(NativeCudaDriver driver, CudaDevice properties, bool isMachine)
    {
        GpuSizes sizes = isMachine ? GpuSizes.Tiny : GpuSizes.Full(properties.Multiprocessors);
        using var device = new GpuDevice(driver, properties);
        Console.WriteLine($"{properties.Name}, {driver.Name}: checking ...");
        KernelRun.Memory = (device.AllocateManaged, device.Free);
        using (var kernel = new CudaTokenLossKernel(driver, properties.Ordinal))
        {
            GoldenCheck.Run(new WaitingKernel(kernel, device), GoldenCase.Names.First());
        }

        // The modules are loaded now, and stay so.
        long free = device.FreeMemory;
        using (var kernel = new CudaTokenLossKernel(driver, properties.Ordinal))
        {
            List<CheckResult> checks = [.. Correctness.Run(new WaitingKernel(kernel, device), sizes)];
            Console.WriteLine("measuring ...");
            var timing = new Timing(device, kernel, sizes);
            double copy = timing.CopyBandwidth();
            List<TimeResult> vocabularies = [.. timing.Vocabularies()];
            List<TimeResult> rows = [.. timing.RowCounts()];
            device.Synchronize();
            kernel.Dispose();
            return new GpuReport(properties, driver.Name, isMachine, checks, copy, vocabularies, rows, free - device.FreeMemory);
        }
    }
}
