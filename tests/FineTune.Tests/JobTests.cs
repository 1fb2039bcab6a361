using Asft.Distributed.Tests;
using Asft.Kernels;
using FineTune.Model;
using FineTune.Problems;
using FineTune.Training;
using TorchSharp;

namespace FineTune.Tests;

/// <summary>Ranks that divide the batches, or the vocabulary, train the model to the same losses as one process.</summary>
public class JobTests
{
    private const int Steps = 6;

    private static readonly Example[] s_examples =
        [new("1+1", "2"), new("12+2", "14"), new("3+4", "7"), new("35+48", "83"), new("sort cab", "abc"), new("2+2", "4"), new("9+9", "18")];

    [Test]
    public void SameLosses([Values("Batches", "Vocabulary")] string division, [Values(2, 3)] int ranks, [Values] bool anchored)
    {
        Division what = Enum.Parse<Division>(division);
        using DisposeScope scope = torch.NewDisposeScope();
        using LanguageModel start = Model();
        float[] expected = Train(start, null, what, anchored);
        Dictionary<string, torch.Tensor> state = start.state_dict();
        ThreadGroup.Run(ranks, group =>
        {
            using LanguageModel copy = Model(state);
            Assert.That(Train(copy, new Job(group, what), what, anchored), Is.EqualTo(expected).Within(2e-5));
        });
    }

    private static LanguageModel Model(Dictionary<string, torch.Tensor>? state = null)
    {
        torch.manual_seed(3);
        var model = new LanguageModel(new ModelShape(ByteTokenizer.Vocabulary, ByteTokenizer.Context, Layers: 1, Width: 8, Heads: 2));
        if (state is not null)
        {
            model.load_state_dict(state);
        }

        return model;
    }

    private static float[] Train(LanguageModel start, Job? job, Division division, bool anchored)
    {
        using LanguageModel model = start.Copy();
        LossObjective objective = anchored ? LossObjective.Asft() : LossObjective.Sft;
        IReferenceStates? states = division == Division.Vocabulary ? new FrozenReference(start) : null;
        using var trainer = new Trainer(model, objective, start, new Schedule(Steps, LearningRate: 1e-2, WeightDecay: 0.1), states, job);

        // The last batches have fewer examples than there may be ranks.
        return [.. Enumerable.Range(0, Steps).Select(step => trainer.Step(step < 4 ? s_examples : s_examples[..(step - 3)]))];
    }
}
