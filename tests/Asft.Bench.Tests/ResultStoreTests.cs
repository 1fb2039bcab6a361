using Asft.Bench.Benchmarks;
using Asft.Bench.Figures;
using Asft.Bench.Results;

namespace Asft.Bench.Tests;

public class ResultStoreTests
{
    private string _directory = string.Empty;

    [SetUp]
    public void Create() => _directory = Directory.CreateTempSubdirectory().FullName;

    [TearDown]
    public void Delete() => Directory.Delete(_directory, recursive: true);

    [Test]
    public void What_is_saved_comes_back()
    {
        var store = new ResultStore(_directory);
        var machine = new Machine("cpu", 2, "512 bits", "24 GiB", "os", "net", "torch", "asft", "kernels", "none", "pages");
        var set = new ResultSet(
            "./build.sh bench",
            new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc),
            machine,
            [new Measurement("Fused", LossAxes.Centre, 1024, 0.5, 0.4, 0.6, 7, null)],
            new FigureSet("title", [Figure.AtMost("memory", "[1, 2]", 3, 4, 2, " MB")]));
        store.Save("some", set);

        ResultSet loaded = store.Load("some")!;
        Assert.That(loaded.Machine, Is.EqualTo(machine));
        Assert.That(loaded.Date, Is.EqualTo(set.Date));
        Assert.That(loaded.Measurements, Is.EqualTo(set.Measurements));
        Assert.That(loaded.Table!.Figures, Is.EqualTo(set.Table!.Figures));
        Assert.That(store.Load("other"), Is.Null);
    }

    [Test]
    public void A_file_that_holds_something_else_is_named()
    {
        File.WriteAllText(Path.Combine(_directory, "some.json"), "no JSON");
        Assert.That(() => new ResultStore(_directory).Load("some"), Throws.TypeOf<UserErrorException>().With.Message.Contains("some.json"));
    }
}
