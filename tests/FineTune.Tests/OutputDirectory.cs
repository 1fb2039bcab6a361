namespace FineTune.Tests;

/// <summary>A test with a directory of its own, which goes when the test ends.</summary>
public abstract class OutputDirectory
{
    protected string Output { get; private set; } = null!;

    [SetUp]
    public void Make() => Output = Directory.CreateTempSubdirectory("asft-sample-").FullName;

    [TearDown]
    public void Delete() => Directory.Delete(Output, recursive: true);

    protected string PathOf(string name) => Path.Combine(Output, name);
}
