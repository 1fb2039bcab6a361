using System.Reflection;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Asft.Distributed;
using Asft.Kernels;
using Asft.Kernels.Ilgpu;

namespace Asft.Interop.Tests.Documentation;

/// <summary>
/// What the compiler lets pass in documentation comments. Its own checks (names in cref and paramref, parameters without a comment) are
/// errors; it says nothing of two summaries on one member, which is what a comment becomes whose member was deleted, nor of code in
/// <c>c</c> elements that names what is not there.
/// </summary>
public partial class XmlCommentTests
{
    private static readonly Assembly[] s_assemblies =
        [typeof(LossObjective).Assembly, typeof(IlgpuDevice).Assembly, typeof(AsftFunctional).Assembly, typeof(ProcessGroup).Assembly];

    private static IEnumerable<string> Assemblies => s_assemblies.Select(assembly => assembly.GetName().Name!);

    [Test]
    public void EachElementStandsOnce([ValueSource(nameof(Assemblies))] string assembly)
    {
        string[] doubled = [.. Members(assembly)
            .Where(member => member.Elements()
                .Where(element => element.Name.LocalName is "summary" or "remarks" or "returns" or "param" or "typeparam")
                .GroupBy(element => (element.Name.LocalName, element.Attribute("name")?.Value))
                .Any(group => group.Count() > 1))
            .Select(member => member.Attribute("name")!.Value)];
        Assert.That(doubled, Is.Empty, "These have a comment that belongs to something else.");
    }

    /// <summary>
    /// A name of several words, written as code, is that of a type, a member or a parameter; in the comment of something public, a public one.
    /// </summary>
    [Test]
    public void CodeNamesWhatIsThere([ValueSource(nameof(Assemblies))] string assembly)
    {
        Assembly[] namers = [.. s_assemblies, typeof(TorchSharp.torch).Assembly];
        HashSet<string> visible = [.. namers.SelectMany(namer => Names(namer, onlyPublic: true))];
        HashSet<string> all = [.. namers.SelectMany(namer => Names(namer, onlyPublic: false))];
        string[] lost = [.. Members(assembly)
            .SelectMany(member => member.Descendants("c")
                .SelectMany(code => Name().Matches(code.Value).Select(match => match.Value))
                .Where(name => !(IsPublic(assembly, member.Attribute("name")!.Value) ? visible : all).Contains(name))
                .Select(name => $"{member.Attribute("name")!.Value}: {name}"))];
        Assert.That(lost, Is.Empty);
    }

    /// <summary>Whether a documentation id, such as <c>M:Asft.Kernels.RowState.Merge(...)</c>, is that of something users see.</summary>
    private static bool IsPublic(string assembly, string id)
    {
        string path = id[2..].Split('(')[0];
        Assembly owner = s_assemblies.Single(candidate => candidate.GetName().Name == assembly);
        if (id[0] == 'T')
        {
            return owner.GetType(path)?.IsVisible ?? false; // the names of nested types are written otherwise; none is public
        }

        int dot = path.LastIndexOf('.');
        string name = path[(dot + 1)..].Split('`')[0].Replace('#', '.');
        const BindingFlags Public = BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        return owner.GetType(path[..dot]) is { IsVisible: true } type && type.GetMember(name, Public).Length > 0;
    }

    /// <summary>The comments as the compiler collected them, those of members that are not public included.</summary>
    private static IEnumerable<XElement> Members(string assembly) =>
        XDocument.Load(Path.Combine(AppContext.BaseDirectory, assembly + ".xml")).Descendants("member");

    private static IEnumerable<string> Names(Assembly assembly, bool onlyPublic)
    {
        BindingFlags binding = BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly
            | (onlyPublic ? BindingFlags.Default : BindingFlags.NonPublic);
        foreach (Type type in assembly.GetTypes().Where(type => type.IsVisible || !onlyPublic))
        {
            yield return type.Name.Split('`')[0];
            foreach (MemberInfo member in type.GetMembers(binding))
            {
                yield return member.Name;
                foreach (ParameterInfo parameter in (member as MethodBase)?.GetParameters() ?? [])
                {
                    yield return parameter.Name ?? string.Empty;
                }
            }
        }
    }

    /// <summary>PascalCase or camelCase, of two words or more; but the CUDA driver's functions are called cuThis and cuThat.</summary>
    [GeneratedRegex(@"(?<![\w-])(?!cu[A-Z])[A-Za-z][a-z0-9]+(?:[A-Z][a-z0-9]+)+(?![\w-])")]
    private static partial Regex Name();
}
