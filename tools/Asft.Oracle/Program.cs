using System.CommandLine;
using Asft.Oracle;

var folder = new Argument<DirectoryInfo>("folder")
{
    Description = "where the cases are, one *.json each",
    DefaultValueFactory = _ => new DirectoryInfo("tests/Asft.Kernels.Tests/Golden"),
};
var check = new Option<bool>("--check") { Description = "write nothing; fail when a file is not, to the last digit, what its inputs give" };
var root = new RootCommand("Computes the results of golden cases, to 50 digits, from the inputs in their files, and writes them there.") { folder, check };
root.SetAction(parsed => Commands.Run(parsed.GetRequiredValue(folder), parsed.GetValue(check)));
return root.Parse(args).Invoke();
