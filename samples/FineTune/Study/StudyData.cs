using FineTune.Problems;
using FineTune.Training;

namespace FineTune.Study;

/// <summary>The five domains: what a base model is pretrained on, and what it is fine-tuned on and tested with.</summary>
internal sealed class StudyData(Pronunciations pronunciations, StudySettings settings)
{
    public const string Addition = "addition";
    public const string Pronunciation = "pronunciation";

    private const double AdditionShare = 0.3;
    private const double WordShare = 0.3;
    private const double AnyAdditionShare = 0.4; // of the additions

    /// <summary>The domains that models are fine-tuned on: the ones that a demonstration can be wrong in.</summary>
    public static IReadOnlyList<string> TunedDomains { get; } = [Addition, Pronunciation];

    private static IDomain[] OtherDomains => [new Sorting(), new Logic(), new Counting()];

    /// <summary>
    /// Problems of all domains, without end, more of those that are hard to learn. Of the additions most are easy, and of the words none that comes
    /// later.
    /// </summary>
    public IEnumerable<Example[]> Pretraining(int seed)
    {
        var random = new Random(seed);
        var easy = new Addition(carries: false);
        var any = new Addition(carries: true);
        IDomain[] others = OtherDomains;
        while (true)
        {
            yield return [.. Enumerable.Range(0, Batches.Size).Select(_ => Draw().Sample(random))];
        }

        IDomain Draw() => random.NextDouble() switch
        {
            < AdditionShare * AnyAdditionShare => any,
            < AdditionShare => easy,
            < AdditionShare + WordShare => pronunciations.Pretrained,
            _ => others[random.Next(others.Length)],
        };
    }

    /// <summary>Demonstrations of a domain, some of them wrong, and held-out problems, all of them right.</summary>
    public FineTuningTask Task(string domain, int seed)
    {
        var random = new Random(seed);
        var additions = new HeldOutProblems(Addition, HeldOut(new Addition(carries: true), domain == Addition, random), Gradings.FinalAnswer);
        var words = new HeldOutProblems(Pronunciation, HeldOut(pronunciations.HeldOut, domain == Pronunciation, random), Gradings.Exact);
        HeldOutProblems[] others =
            [.. OtherDomains.Select(other => new HeldOutProblems(other.Name, HeldOut(other, tuned: false, random), Gradings.FinalAnswer))];
        return domain == Addition
            ? new FineTuningTask(Demonstrations(additions.Examples, Slipped, random), additions, [words, .. others])
            : new FineTuningTask(Demonstrations(words.Examples, Misspoken, random), words, [additions, .. others]);
    }

    private static Example Slipped(Random random, bool slip) => new Addition(carries: true).Sample(random, slip);

    private Example Misspoken(Random random, bool slip)
    {
        Example word = pronunciations.Demonstrated.Sample(random);
        return slip ? pronunciations.Slip(word, random) : word;
    }

    private Example[] HeldOut(IDomain domain, bool tuned, Random random)
    {
        var examples = new HashSet<Example>();
        while (examples.Count < (tuned ? settings.HeldOut : settings.HeldOutOthers))
        {
            examples.Add(domain.Sample(random));
        }

        return [.. examples];
    }

    /// <summary>None of them has the prompt of a held-out problem.</summary>
    private Example[] Demonstrations(Example[] heldOut, Func<Random, bool, Example> sample, Random random)
    {
        var prompts = heldOut.Select(example => example.Prompt).ToHashSet();
        int wrong = (int)Math.Round(settings.WrongShare * settings.Demonstrations);
        var demonstrations = new List<Example>();
        while (demonstrations.Count < settings.Demonstrations)
        {
            Example example = sample(random, demonstrations.Count < wrong);
            if (!prompts.Contains(example.Prompt))
            {
                demonstrations.Add(example);
            }
        }

        return [.. demonstrations];
    }
}
