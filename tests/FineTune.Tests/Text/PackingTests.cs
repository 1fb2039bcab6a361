using FineTune.Text;

namespace FineTune.Tests.Text;

/// <summary>Which examples share a row, and what the row then says of each token.</summary>
public class PackingTests
{
    [Test]
    public void EachExampleGoesIntoTheFirstRowWithRoom() =>
        Assert.That(Packing.FirstFit([6, 5, 3, 4, 2, 1, 10], 10), Is.EqualTo(new int[][] { [0, 2, 5], [1, 3], [4], [6] }));

    [Test]
    public void NothingGivesNoRows() => Assert.That(Packing.FirstFit([], 10), Is.Empty);

    [Test]
    public void AnExampleLongerThanARowIsRefused() => Assert.That(
        () => Packing.FirstFit([1, 11], 10), Throws.ArgumentException.With.Message.StartsWith("Example 1 has 11 tokens, and a row has 10."));

    [Test]
    public void RandomLengthsGoWhereALookAtEveryRowPutsThem()
    {
        var random = new Random(1);
        for (int round = 0; round < 50; round++)
        {
            int[] lengths = [.. Enumerable.Range(0, random.Next(1, 60)).Select(_ => random.Next(1, 33))];
            var rows = new List<List<int>>();
            for (int example = 0; example < lengths.Length; example++)
            {
                List<int>? row = rows.Find(row => row.Sum(other => lengths[other]) + lengths[example] <= 32);
                if (row is null)
                {
                    rows.Add(row = []);
                }

                row.Add(example);
            }

            Assert.That(Packing.FirstFit(lengths, 32), Is.EqualTo(rows));
        }
    }

    [Test]
    public void ARowSaysOfEachTokenWhoseItIs()
    {
        PackedBatch batch = PackedBatch.Of(
            [[new TokenizedExample([11, 12, 13, 14], 2), new TokenizedExample([21, 22], 1)], [new TokenizedExample([31, 32, 33], 0)]],
            length: 7,
            padding: 9);
        Assert.Multiple(() =>
        {
            Assert.That((batch.Rows, batch.Length, batch.LabelCount), Is.EqualTo((2, 7, 5)));
            Assert.That(batch.Tokens, Is.EqualTo(new long[] { 11, 12, 13, 14, 21, 22, 9, 31, 32, 33, 9, 9, 9, 9 }));
            Assert.That(
                batch.Labels,
                Is.EqualTo(new long[] { -100, -100, 13, 14, -100, 22, -100, -100, 32, 33, -100, -100, -100, -100 }),
                "and the first token is no label even without a prompt");
            Assert.That(batch.Positions, Is.EqualTo(new[] { 0, 1, 2, 3, 0, 1, 0, 0, 1, 2, 0, 0, 0, 0 }));
            Assert.That(batch.Segments, Is.EqualTo(new[] { 0, 0, 0, 0, 1, 1, -1, 0, 0, 0, -1, -1, -1, -1 }));
        });
    }

    [Test]
    public void ARowThatIsTooShortIsRefused() => Assert.That(
        () => PackedBatch.Of([[new TokenizedExample([1, 2, 3], 1)]], length: 2, padding: 0),
        Throws.ArgumentException.With.Message.StartsWith("The examples of row 0 have 3 tokens, and a row has 2."));
}
