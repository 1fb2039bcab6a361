using System.CommandLine;
using Asft.GpuCheck;

var device = new Option<int>("--device") { Description = "ordinal of the device, as CUDA counts" };
var output = new Option<DirectoryInfo>("--output") { Description = "folder for report.md and report.json", DefaultValueFactory = _ => new DirectoryInfo(Path.Combine("out", "gpu-report")) };
var root = new RootCommand("Checks the CUDA kernels on a GPU against the golden values and the reference, and measures them.") { device, output };
root.SetAction(parsed => GpuDay.Run(parsed.GetValue(device), parsed.GetRequiredValue(output)));
return root.Parse(args).Invoke();
