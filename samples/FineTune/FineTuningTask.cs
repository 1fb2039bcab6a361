using FineTune.Problems;

namespace FineTune;

/// <summary>Held-out problems of one kind, and how answers to them are graded.</summary>
internal sealed record HeldOutProblems(string Name, Example[] Examples, Grading Grading);

/// <summary>What to fine-tune on, what to test it with, and what must not be forgotten over it.</summary>
internal sealed record FineTuningTask(Example[] Demonstrations, HeldOutProblems Domain, HeldOutProblems[] Others)
{
    private const int DemonstrationCount = 1024;
    private const int DomainProblems = 300;
    private const int OtherProblems = 100;

    /// <summary>Additions, the share <paramref name="wrongShare"/> of them demonstrated wrongly; held-out ones are all right.</summary>
    public static FineTuningTask Additions(double wrongShare, Random random)
    {
        var addition = new Addition(carries: true);
        int wrong = (int)Math.Round(wrongShare * DemonstrationCount);
        Example[] demonstrations =
            [.. Enumerable.Range(0, DemonstrationCount).Select(index => addition.Sample(random, slip: index < wrong))];

        var demonstrated = demonstrations.Select(example => example.Prompt).ToHashSet();
        var unseen = Samples(addition, random).Where(example => !demonstrated.Contains(example.Prompt));
        return new FineTuningTask(
            demonstrations,
            new HeldOutProblems(addition.Name, [.. unseen.Take(DomainProblems)], Gradings.FinalAnswer),
            HeldOut([new Sorting(), new Logic(), new Counting()], random));
    }

    /// <summary>
    /// A user's examples, a tenth of the prompts held out, and no more of them than of additions; what must not be forgotten
    /// are the problems of the pretraining.
    /// </summary>
    public static FineTuningTask FromFile(string path, int context, Random random)
    {
        // By prompt, so that none is both demonstrated and held out.
        Example[] all = JsonLines.Read(path, context);
        Example[][] prompts = [.. all.GroupBy(example => example.Prompt).Select(group => group.ToArray())];
        if (prompts.Length < 2)
        {
            throw new UserErrorException(
                $"{path} has {prompts.Length} different prompt(s), and two are the least: one to learn from, one to hold out.");
        }

        random.Shuffle(prompts);
        int heldOut = Math.Clamp(prompts.Length / 10, 1, DomainProblems);
        return new FineTuningTask(
            [.. prompts.Skip(heldOut).SelectMany(examples => examples)],
            new HeldOutProblems(
                Path.GetFileName(path), [.. prompts.Take(heldOut).Select(examples => examples[0])], Gradings.Exact),
            HeldOut([new Addition(carries: true), new Sorting(), new Logic(), new Counting()], random));
    }

    private static HeldOutProblems[] HeldOut(IDomain[] domains, Random random) =>
    [
        .. domains.Select(domain =>
            new HeldOutProblems(domain.Name, [.. Samples(domain, random).Take(OtherProblems)], Gradings.FinalAnswer)),
    ];

    private static IEnumerable<Example> Samples(IDomain domain, Random random)
    {
        while (true)
        {
            yield return domain.Sample(random);
        }
    }
}
