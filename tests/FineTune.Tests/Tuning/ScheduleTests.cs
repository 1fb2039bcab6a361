using FineTune.Tuning;

namespace FineTune.Tests.Tuning;

/// <summary>What follows from the step alone: the data's order and the learning rate.</summary>
public class ScheduleTests
{
    [Test]
    public void EachEpochHasAllExamplesInAnOrderOfItsOwn()
    {
        var order = new DataOrder(examples: 10, batch: 4, seed: 1);
        int[][] epochs = [.. Enumerable.Range(0, 15).SelectMany(step => order.Step(step)).Chunk(10)];
        Assert.That(epochs, Has.Length.EqualTo(6));
        foreach (int[] epoch in epochs)
        {
            Assert.That(epoch.Order(), Is.EqualTo(Enumerable.Range(0, 10)));
        }

        Assert.That(epochs.Select(epoch => string.Join(",", epoch)), Is.Unique);
    }

    [Test]
    public void AnOrderCanBeTakenUpAnywhere()
    {
        var whole = new DataOrder(examples: 7, batch: 3, seed: 2);
        int[][] steps = [.. Enumerable.Range(0, 12).Select(step => whole.Step(step))];
        for (int step = 0; step < steps.Length; step++)
        {
            Assert.That(new DataOrder(examples: 7, batch: 3, seed: 2).Step(step), Is.EqualTo(steps[step]));
        }

        Assert.That(new DataOrder(examples: 7, batch: 3, seed: 3).Step(0), Is.Not.EqualTo(steps[0]));
    }

    [Test]
    public void TheRateRisesAndFallsAlongACosine()
    {
        var rate = new LearningRate(Peak: 2, WarmUp: 4, Steps: 24);
        Assert.That(Enumerable.Range(0, 5).Select(rate.At), Is.EqualTo(new[] { 0.5, 1, 1.5, 2, 2 }).Within(1e-12));
        Assert.That(rate.At(14), Is.EqualTo(0.2 + (1.8 / 2)).Within(1e-12));
        Assert.That(rate.At(23), Is.EqualTo(0.2 + (0.9 * (1 + Math.Cos(Math.PI * 19 / 20)))).Within(1e-12));
        Assert.That(new LearningRate(Peak: 2, WarmUp: 0, Steps: 1).At(0), Is.EqualTo(2));
    }
}
