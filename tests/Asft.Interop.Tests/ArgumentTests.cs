using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>Each way to call the loss wrongly: the exception names the argument and what it got, and nothing was touched.</summary>
public class ArgumentTests : TorchTest
{
    private static readonly Reduction[] s_reductions = [Reduction.None, Reduction.Mean, Reduction.Sum];

    [Test]
    public void NullArguments()
    {
        Assert.Multiple(() =>
        {
            AssertThrows<ArgumentNullException>("logits", [], () => AsftFunctional.asft_loss(null!, Labels(2, 3)));
            AssertThrows<ArgumentNullException>("labels", [], () => AsftFunctional.asft_loss(Logits(2, 3, 7), null!));
            AssertThrows<ArgumentNullException>("reference", ["KlWeight", "0.05"], () => AsftFunctional.asft_loss(Logits(2, 3, 7), Labels(2, 3)));
            AssertThrows<ArgumentNullException>(
                "reference",
                ["ImportanceRatio"],
                () => AsftFunctional.asft_loss(
                    Logits(2, 3, 7), Labels(2, 3), objective: new LossObjective { Weighting = TokenWeighting.ImportanceRatio }));
        });
    }

    [Test]
    public void DisposedArguments()
    {
        Tensor disposed = Logits(2, 3, 7);
        disposed.Dispose();
        AssertThrows<ArgumentException>("logits", ["disposed"], () => Dft(disposed, Labels(2, 3)));
        AssertThrows<ArgumentException>("reference", ["disposed"], () => AsftFunctional.asft_loss(Logits(2, 3, 7), Labels(2, 3), disposed));
    }

    [Test]
    public void Dtypes()
    {
        Assert.Multiple(() =>
        {
            AssertThrows<ArgumentException>("logits", ["Int64", "[2, 3, 7]"], () => Dft(Logits(2, 3, 7).to(ScalarType.Int64), Labels(2, 3)));
            AssertThrows<ArgumentException>("logits", ["Complex"], () => Dft(Logits(2, 3, 7).to(ScalarType.ComplexFloat32), Labels(2, 3)));
            AssertThrows<ArgumentException>("logits", ["Bool"], () => Dft(Logits(2, 3, 7).to(ScalarType.Bool), Labels(2, 3)));
            AssertThrows<ArgumentException>("logits", ["dense"], () => Dft(Logits(2, 7).to_sparse(), Labels(2)));
            AssertThrows<ArgumentException>("labels", ["Float32", "[2, 3]"], () => Dft(Logits(2, 3, 7), Labels(2, 3).to(ScalarType.Float32)));
            AssertThrows<ArgumentException>("labels", ["Byte"], () => Dft(Logits(2, 3, 7), Labels(2, 3).to(ScalarType.Byte)));
            AssertThrows<ArgumentException>(
                "reference", ["Int32"], () => AsftFunctional.asft_loss(Logits(2, 3, 7), Labels(2, 3), Logits(2, 3, 7).to(ScalarType.Int32)));
        });
    }

    [Test]
    public void Shapes()
    {
        Assert.Multiple(() =>
        {
            AssertThrows<ArgumentException>("logits", ["without dimensions"], () => Dft(rand([]), Labels()));
            AssertThrows<ArgumentException>("logits", ["vocabulary", "[2, 3, 0]"], () => Dft(Logits(2, 3, 0), Labels(2, 3)));
            AssertThrows<ArgumentException>("labels", ["[2, 4]", "[2, 3, 7]"], () => Dft(Logits(2, 3, 7), Labels(2, 4)));
            AssertThrows<ArgumentException>("labels", ["[6]", "[2, 3, 7]"], () => Dft(Logits(2, 3, 7), Labels(6)));
            AssertThrows<ArgumentException>("labels", ["[2, 3, 7]"], () => Dft(Logits(2, 3, 7), Labels(2, 3, 7)));
            AssertThrows<ArgumentException>("labels", ["[1]", "[7]"], () => Dft(Logits(7), Labels(1)));
            AssertThrows<ArgumentException>("labels", ["[2, 3]", "[2, 7, 3]", "movedim(1, -1)"], () => Dft(Logits(2, 7, 3), Labels(2, 3)));
            AssertThrows<ArgumentException>("labels", ["movedim(1, -1)"], () => Dft(Logits(2, 7, 3, 5), Labels(2, 3, 5)));
            AssertThrows<ArgumentException>(
                "reference", ["[2, 3, 7]", "[2, 3, 8]"], () => AsftFunctional.asft_loss(Logits(2, 3, 7), Labels(2, 3), Logits(2, 3, 8)));
            AssertThrows<ArgumentException>(
                "reference", ["[2, 3, 7]", "[3, 2, 7]"], () => AsftFunctional.asft_loss(Logits(2, 3, 7), Labels(2, 3), Logits(3, 2, 7)));
            AssertThrows<ArgumentException>(
                "reference", ["[2, 3, 7]", "[1, 7]"], () => AsftFunctional.asft_loss(Logits(2, 3, 7), Labels(2, 3), Logits(1, 7)));
            AssertThrows<ArgumentException>(
                "shiftLabels", ["without dimensions"], () => AsftFunctional.asft_loss(Logits(7), Labels(), Logits(7), shiftLabels: true));
        });
    }

    /// <summary>What the message about <c>cross_entropy</c>'s own layout says to do is that loss; other shapes are not taken for it.</summary>
    [Test]
    public void ClassesSecond()
    {
        Tensor logits = randn(2, 7, 3);
        Tensor labels = tensor(new long[] { 0, 6, 2, 5, 1, 3 }).reshape(2, 3);
        Assert.That(
            AsftFunctional.asft_loss(logits.movedim([1], [-1]), labels, objective: LossObjective.Sft).item<float>(),
            Is.EqualTo(functional.cross_entropy(logits, labels).item<float>()).Within(2e-6));
        foreach ((Tensor other, Tensor otherLabels) in new[] { (Logits(2, 3, 7), Labels(2, 4)), (Logits(2, 7), Labels(7)), (Logits(7), Labels(1)) })
        {
            Assert.That(() => Dft(other, otherLabels), Throws.ArgumentException.With.Message.Not.Contains("movedim"));
        }
    }

    [Test]
    public void Devices()
    {
        Tensor elsewhere = empty([2, 3, 7], device: META);
        Tensor labelsElsewhere = empty([2, 3], ScalarType.Int64, META);
        Assert.Multiple(() =>
        {
            AssertThrows<ArgumentException>("labels", ["meta", "cpu"], () => Dft(Logits(2, 3, 7), labelsElsewhere));
            AssertThrows<ArgumentException>("reference", ["meta", "cpu"], () => AsftFunctional.asft_loss(Logits(2, 3, 7), Labels(2, 3), elsewhere));
            NotSupportedException error = Assert.Throws<NotSupportedException>(() => Dft(elsewhere, labelsElsewhere))!;
            Assert.That(error.Message, Does.Contain("logits").And.Contain("meta"));
        });
    }

    [Test]
    public void TokenCounts()
    {
        Assert.Multiple(() =>
        {
            Count("exactly one element", ones(2), "[2]");
            Count("exactly one element", empty(0), "[0]");
            Count("exactly one element", tensor(true), "Bool");
            Count("above 0", tensor(0), "0");
            Count("above 0", tensor(-3L), "-3");
            Count("above 0", tensor(double.NaN), "NaN");
            Count("above 0", tensor(double.PositiveInfinity), string.Empty);
        });

        static void Count(string message, Tensor count, string got) => AssertThrows<ArgumentException>(
            "tokenCount", [message, got], () => AsftFunctional.asft_loss(Logits(2, 3, 7), Labels(2, 3), objective: LossObjective.Sft, tokenCount: count));
    }

    [Test]
    public void UndefinedReduction() => AssertThrows<ArgumentOutOfRangeException>(
        "reduction", ["7"], () => AsftFunctional.asft_loss(Logits(2, 3, 7), Labels(2, 3), Logits(2, 3, 7), reduction: (Reduction)7));

    [Test]
    public void NegativeWeight() => Assert.That(
        () => AsftFunctional.asft_loss(Logits(2, 7), Labels(2), Logits(2, 7), LossObjective.Asft(-1)),
        Throws.InstanceOf<ArgumentOutOfRangeException>().With.Message.Contains("KlWeight").And.Message.Contains("-1"));

    /// <summary>The first label out of range is named with its place and value, and the logits are as they were.</summary>
    [Test]
    public void LabelOutOfRange([Values] bool inPlace, [ValueSource(nameof(s_reductions))] Reduction reduction, [Values(-1, 7, -101, long.MinValue)] long label)
    {
        Tensor logits = Computed(Logits(2, 3, 7).requires_grad_());
        double[] before = Values(logits);
        Tensor labels = tensor(new[] { 0, -100, 6, 1, label, 9 }).reshape(2, 3);
        ArgumentOutOfRangeException error = Assert.Throws<ArgumentOutOfRangeException>(
            () => AsftFunctional.asft_loss(logits, labels, Logits(2, 3, 7), reduction: reduction, inPlace: inPlace))!;
        Assert.Multiple(() =>
        {
            Assert.That(error.ParamName, Is.EqualTo("labels"));
            Assert.That(error.Message, Does.Contain($"labels[1, 1] is {label}, which is neither in [0, 7) nor the ignore index -100."));
            Assert.That(Values(logits), Is.EqualTo(before));
        });
    }

    [Test]
    public void LabelOutOfRangeShifted()
    {
        Tensor labels = tensor(new long[] { 99, 1, 2, 99, 1, 77 }).reshape(2, 3);
        AssertThrows<ArgumentOutOfRangeException>(
            "labels", ["labels[1, 2] is 77"], () => AsftFunctional.asft_loss(Logits(2, 3, 7), labels, Logits(2, 3, 7), shiftLabels: true));
        AssertThrows<ArgumentOutOfRangeException>("labels", ["labels[0, 0] is 99"], () => Dft(Logits(2, 3, 7), labels));
    }

    [Test]
    public void LabelOutOfRangeAlone() => AssertThrows<ArgumentOutOfRangeException>("labels", ["labels is 7"], () => Dft(Logits(7), tensor(7L)));

    /// <summary>The same checks guard the other two doors.</summary>
    [Test]
    public void MetricsAndModuleCheckToo()
    {
        AssertThrows<ArgumentException>("labels", ["[2, 4]"], () => AsftFunctional.asft_loss_with_metrics(Logits(2, 3, 7), Labels(2, 4), Logits(2, 3, 7)).Loss);
        using var module = new AsftLoss();
        AssertThrows<ArgumentNullException>("reference", ["KlWeight", "pass LossObjective.Sft"], () => module.call(Logits(2, 3, 7), Labels(2, 3)));
    }

    /// <summary>Failed calls leave no tensor behind.</summary>
    [Test]
    public void FailedCallsLeakNothing()
    {
        Tensor logits = Logits(2, 3, 7).requires_grad_();
        Tensor reference = Logits(2, 3, 7);
        Tensor wrong = full([2, 3], 9L, ScalarType.Int64);
        Tensor badCount = tensor(-1);
        Tensor labels = Labels(2, 3);
        long before = Tensor.TotalCount;
        for (int i = 0; i < 10; i++)
        {
            Assert.That(() => AsftFunctional.asft_loss(logits, wrong, reference), Throws.InstanceOf<ArgumentException>());
            Assert.That(() => AsftFunctional.asft_loss(logits, labels, reference, tokenCount: badCount), Throws.InstanceOf<ArgumentException>());
        }

        Assert.That(Tensor.TotalCount, Is.EqualTo(before));
        Assert.That(DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount, Is.Not.Negative);
    }

    private static Tensor Dft(Tensor logits, Tensor labels) => AsftFunctional.asft_loss(logits, labels, objective: LossObjective.Dft);

    private static Tensor Logits(params long[] shape) => ones(shape);

    private static Tensor Labels(params long[] shape) => zeros(shape, ScalarType.Int64);

    private static void AssertThrows<T>(string parameter, string[] parts, Func<Tensor> call)
        where T : ArgumentException
    {
        var error = (ArgumentException)Assert.Throws(Is.InstanceOf<T>(), () => call())!;
        Assert.That(error.ParamName, Is.EqualTo(parameter));
        foreach (string part in parts)
        {
            Assert.That(error.Message, Does.Contain(part));
        }
    }
}
