using FineTune.Model;
using FineTune.Problems;
using FineTune.Study;
using TorchSharp;

namespace FineTune.Tests.Study;

/// <summary>The study in small: its data, that it goes on where it was interrupted, and what its page says of numbers known beforehand.</summary>
public class StudyTests : OutputDirectory
{
    private static readonly StudySettings s_smoke = new()
    {
        Seeds = 1,
        LearningRates = [1e-3],
        KlWeights = [0.05],
        PretrainingSteps = 2,
        Steps = 2,
        Demonstrations = 40,
        HeldOut = 2,
        HeldOutOthers = 1,
        Shape = new ModelShape(ByteTokenizer.Vocabulary, ByteTokenizer.Context, Layers: 1, Width: 16, Heads: 2),
    };

    private static readonly Example[] s_words =
        [.. Enumerable.Range(0, 200).Select(n => new Example($"say {(char)('a' + (n / 26))}{(char)('a' + (n % 26))}", n % 2 == 0 ? "K AE T" : "D AO G"))];

    private static Pronunciations Words => new(s_words, heldOutWords: 50, demonstrationWords: 100);

    [Test]
    public void TheDictionaryIsRead() => Assert.That(
        Pronunciations.Parse(
            """
            /** @type {{ [word: string]: string }} */
            export const dictionary = {
              "'bout": "B AW1 T",
              "a": "AH0",
              "about": "AH0 B AW1 T",
              "about(2)": "AH0 B AW0",
              "abandon": "AH0 B AE1 N D AH0 N"
            }
            """),
        Is.EqualTo(new[] { new Example("say about", "AH B AW T") }));

    [Test]
    public void ASlipIsOneWrongPhoneme()
    {
        var random = new Random(1);
        for (int round = 0; round < 100; round++)
        {
            string[] wrong = Words.Slip(s_words[0], random).Response.Split(' ');
            Assert.That(wrong.Zip(s_words[0].Response.Split(' ')).Count(pair => pair.First != pair.Second), Is.EqualTo(1));
        }
    }

    [TestCase(StudyData.Addition)]
    [TestCase(StudyData.Pronunciation)]
    public void ThePartsShareNoPromptAndSomeDemonstrationsAreWrong(string domain)
    {
        StudySettings settings = s_smoke with { HeldOut = 30 };
        FineTuningTask task = new StudyData(Words, settings).Task(domain, seed: 1);
        Assert.That(task.Demonstrations.Select(example => example.Prompt), Has.None.AnyOf(task.Domain.Examples.Select(example => example.Prompt).ToArray()));
        Assert.That(task.Demonstrations, Has.Length.EqualTo(40));
        Assert.That(task.Demonstrations.Count(example => !IsRight(example)), Is.EqualTo(12));
        Assert.That(task.Domain.Examples.All(IsRight));
        Assert.That(task.Others.Select(other => other.Name).Append(task.Domain.Name), Is.Unique.And.Exactly(5).Items);
    }

    [Test]
    public void AStudyGoesOnWhereItWasInterrupted()
    {
        using DisposeScope scope = torch.NewDisposeScope();
        var data = new StudyData(Words, s_smoke);
        var told = new List<string>();
        using var stop = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(() => new StudyRunner(data, s_smoke, Output, Tell, stop.Token).Run());
        string file = PathOf("runs.jsonl");
        File.AppendAllText(file, """{"settings":"a line that was not fin""");
        told.Clear();
        StudyRun[] runs = new StudyRunner(data, s_smoke, Output, told.Add, CancellationToken.None).Run();

        int cells = s_smoke.Seeds * StudyData.TunedDomains.Count * s_smoke.Methods.Count;
        Assert.That(runs, Has.Length.EqualTo(cells));
        Assert.That(told.Count(line => line.Contains("accuracy", StringComparison.Ordinal)), Is.EqualTo(cells - 3), "three were made before");
        Assert.That(told.Any(line => line.StartsWith("base model 1", StringComparison.Ordinal)), Is.False, "nor is the base model made again");
        Assert.That(runs.Select(run => run.StepSeconds), Has.All.GreaterThan(0));
        Assert.That(new StudyRunner(data, s_smoke, Output, told.Add, CancellationToken.None).Run(), Is.EquivalentTo(runs), "and as they were read");

        StudyRun sft = runs.First(run => run.Method == "SFT");
        StudyRun anchored = runs.First(run => run.Method == "SFT+KL");
        Assert.That(sft.Drift, Is.GreaterThan(0).And.Not.EqualTo(anchored.Drift));
        string page = StudyPage.Of(s_smoke, runs);
        Assert.That(page, Does.Contain("## Fine-tuned on addition").And.Contain("## Fine-tuned on pronunciation").And.Not.Contain("NaN"));

        void Tell(string line)
        {
            told.Add(line);
            if (line.StartsWith("3/", StringComparison.Ordinal))
            {
                stop.Cancel();
            }
        }
    }

    /// <summary>Numbers made up so that each verdict is known.</summary>
    [Test]
    public void VerdictsFollowFromTheNumbers()
    {
        StudySettings settings = s_smoke with { KlWeights = [0.05, 0.1] };
        StudyRun[] runs =
        [
            .. from seed in Enumerable.Range(1, 3)
               from domain in StudyData.TunedDomains
               from method in settings.Methods
               select Run(seed, domain, method),
        ];
        Dictionary<string, string> verdicts = StudyClaims.Of(new StudyResults(runs, StudyData.Addition), settings)
            .ToDictionary(claim => claim.Comparison, claim => $"{claim.Numbers}: {claim.Verdict}");
        Assert.Multiple(() =>
        {
            Assert.That(verdicts["KL: DFT less SFT"], Is.EqualTo("+0.200 ± 0.000 nats, p = 0.000: confirmed"));
            Assert.That(verdicts["KL: DFT less ASFT (forward, 0.05)"], Does.EndWith(": confirmed"));
            Assert.That(verdicts["accuracy: DFT less SFT"], Is.EqualTo("-10.0 ± 0.0 points, p = 0.000: contradicted"));
            Assert.That(verdicts["accuracy: ASFT (forward, 0.05) less DFT"], Is.EqualTo("+10.0 ± 0.0 points, p = 0.000: confirmed"));
            Assert.That(verdicts["accuracy, mean of the weights"], Does.StartWith("+0.0 ± ").And.EndWith(": not decided"));
            Assert.That(
                verdicts["accuracy of ASFT forward: weight 0.1, the best, less 0.05, the next"], Is.EqualTo("+1.0 ± 0.0 points, p = 0.000: confirmed"));
            Assert.That(verdicts["time of a step: DFT / SFT"], Is.EqualTo("2.00 ± 0.00 times: measured"));
        });
    }

    private static bool IsRight(Example example)
    {
        if (example.Prompt.Split('+') is [var a, var b])
        {
            return example.Response.EndsWith($"#{int.Parse(a) + int.Parse(b)}", StringComparison.Ordinal);
        }

        return s_words.Contains(example);
    }

    private static StudyRun Run(int seed, string domain, Method method)
    {
        double accuracy = method.Name switch { "DFT" => 0.4, "ASFT reverse" => 0.505 + (0.01 * (seed - 2)), _ => 0.5 } + (method.KlWeight > 0.05 ? 0.01 : 0);
        return new StudyRun(
            s_smoke.Fingerprint,
            seed,
            domain,
            method.Name,
            method.KlWeight,
            1e-3,
            accuracy - (method.Name == "ASFT reverse" ? 0.005 : 0),
            Kept: 0.8,
            Drift: method.Name == "DFT" ? 0.3 : 0.1,
            DriftElsewhere: 0.1,
            BaseAccuracy: 0.2,
            BaseKept: 0.9,
            StepSeconds: method.Name == "SFT" ? 1 : 2);
    }
}
