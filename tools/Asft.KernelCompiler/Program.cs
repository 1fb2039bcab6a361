using System.CommandLine;
using Asft.KernelCompiler;

var source = new Option<DirectoryInfo>("--source") { Description = "folder of the kernels", DefaultValueFactory = _ => new DirectoryInfo("kernels") };
var output = new Option<DirectoryInfo?>("--output") { Description = "folder for the PTX alone, instead of the kernels' own; nothing else is written or checked" };
var check = new Option<bool>("--check") { Description = "write nothing; fail when the PTX or the report is not what the sources give" };
var root = new RootCommand("Compiles the CUDA kernels to PTX, and reports what they take on each architecture.") { source, output, check };
root.SetAction(parsed => Commands.Guard(() => Commands.Build(
    new KernelSources(parsed.GetRequiredValue(source).FullName), parsed.GetValue(output)?.FullName, parsed.GetValue(check))));

var file = new Argument<string>("file");
var architecture = new Argument<string>("architecture");
var target = new Argument<string>("output");
var one = new Command(KernelBuild.OneVerb, "compiles one file") { file, architecture, target };
one.Hidden = true;
one.SetAction(parsed => Commands.Guard(() =>
    KernelBuild.One(parsed.GetRequiredValue(file), parsed.GetRequiredValue(architecture), parsed.GetRequiredValue(target))));
root.Subcommands.Add(one);

var patches = new Option<FileInfo>("--patches") { Description = "the bugs", DefaultValueFactory = _ => new FileInfo("kernels/mutants.txt") };
var only = new Option<string[]>("--only") { Description = "only the bugs whose name contains this; may be given several times", DefaultValueFactory = _ => [] };
var tests = new Option<string>("--tests")
{
    Description = "what dotnet runs: the tests, already built",
    DefaultValueFactory = _ => "test tests/Asft.Kernels.Tests/Asft.Kernels.Tests.csproj -c Release --no-build",
};
var mutants = new Command("mutants", "plants bugs in the kernels, one at a time, and looks whether the tests find them") { source, patches, only, tests };
mutants.SetAction(parsed => Commands.Guard(() => MutationCheck.Run(
    new KernelSources(parsed.GetRequiredValue(source).FullName), parsed.GetRequiredValue(patches).FullName, parsed.GetRequiredValue(only), parsed.GetRequiredValue(tests))));
root.Subcommands.Add(mutants);
return root.Parse(args).Invoke();
