using System.Text.RegularExpressions;

namespace Asft.Interop.Tests.Documentation;

/// <summary>What comments and pages refer to is in the repository.</summary>
public partial class LinkTests
{
    private static IEnumerable<string> Pages => Repository.Files(".md");

    /// <summary>A link to a file, seen from the page that has it.</summary>
    [Test]
    public void LinksLeadSomewhere([ValueSource(nameof(Pages))] string page)
    {
        string folder = Path.GetDirectoryName(Path.Combine(Repository.Root, page))!;
        string[] lost = [.. Link().Matches(Repository.Read(page))
            .Select(match => match.Groups[1].Value.Split('#')[0])
            .Where(target => target.Length > 0 && !target.Contains("://", StringComparison.Ordinal) && !Path.Exists(Path.Combine(folder, target)))];
        Assert.That(lost, Is.Empty);
    }

    /// <summary>A page named in a text: by its path from the root, from the folder of the file, or from a folder that programs write pages to.</summary>
    [Test]
    public void PagesNamedAreThere()
    {
        var lost = new List<string>();
        foreach (string file in Repository.Files(".cs", ".md", ".cu", ".cuh", ".csproj", ".props", ".sh", ".ps1").Where(file => file != ThisFile))
        {
            string[] folders = [.. new[] { string.Empty, Path.GetDirectoryName(file)!, "docs", "kernels" }.Select(folder => Path.Combine(Repository.Root, folder))];
            lost.AddRange(Page().Matches(Repository.Read(file))
                .Select(match => match.Value)
                .Where(page => !folders.Any(folder => File.Exists(Path.Combine(folder, page))))
                .Select(page => $"{file} names {page}"));
        }

        Assert.That(lost, Is.Empty);
    }

    /// <summary>Sections have names: a number leads nowhere once a page is rewritten, and "the design" is docs/design.md.</summary>
    [Test]
    public void NoSectionsByNumber()
    {
        string[] found = [.. Repository.Files(".cs", ".md", ".cu", ".cuh").Where(file => file != ThisFile)
            .SelectMany(file => Section().Matches(Repository.Read(file)).Select(match => $"{file}: {match.Value}"))];
        Assert.That(found, Is.Empty);
    }

    private const string ThisFile = "tests/Asft.Interop.Tests/Documentation/LinkTests.cs";

    [GeneratedRegex(@"\]\(([^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"(?<![\w./-])[\w./-]*\w\.md\b")]
    private static partial Regex Page();

    [GeneratedRegex(@"\b[Ss]ection \d+|\bof the design\b")]
    private static partial Regex Section();
}
