using Asft.Interop.Tests.DevicePath;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>Logits of any layout: the bits must be those of contiguous logits, and the memory must be used in place where it can be.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.All))]
public class StrideTests(string path) : TorchTest(path)
{
    /// <summary>Views [2, 3, 7] of a base tensor: how to make one, and whether its rows are contiguous.</summary>
    private static readonly Dictionary<string, (long[] Base, Func<Tensor, Tensor> View, bool ContiguousRows)> s_layouts = new()
    {
        ["contiguous"] = ([2, 3, 7], b => b, true),
        ["padded rows"] = ([2, 3, 10], b => b.narrow(2, 0, 7), true),
        ["padded rows, offset"] = ([2, 3, 10], b => b.narrow(2, 3, 7), true),
        ["all but the last position"] = ([2, 4, 7], b => b.narrow(1, 0, 3), true),
        ["all but the first position"] = ([2, 4, 7], b => b.narrow(1, 1, 3), true),
        ["every second position"] = ([2, 6, 7], b => b.slice(1, 0, 6, 2), true),
        ["time first"] = ([3, 2, 7], b => b.transpose(0, 1), true),
        ["time first, padded rows"] = ([3, 2, 8], b => b.transpose(0, 1).narrow(2, 1, 7), true),
        ["vocabulary first"] = ([7, 2, 3], b => b.permute(1, 2, 0), false),
        ["every second logit"] = ([2, 3, 14], b => b.slice(2, 0, 14, 2), false),
    };

    private static IEnumerable<string> Layouts => s_layouts.Keys;

    [Test]
    [Pairwise]
    public void LayoutMakesNoDifference(
        [ValueSource(nameof(Layouts))] string layout,
        [Values] bool inPlace,
        [Values] Reduction reduction,
        [Values(ScalarType.Float32, ScalarType.Float64, ScalarType.BFloat16, ScalarType.Float16)] ScalarType type)
    {
        (long[] shape, Func<Tensor, Tensor> view, _) = s_layouts[layout];
        Tensor leaf = randn(shape, ScalarType.Float64).to(type).clone().requires_grad_();
        Tensor reference = view(randn(shape, ScalarType.Float64).to(type));
        Tensor labels = tensor(new long[] { 1, -100, 6, 0, 0, 3 }).reshape(2, 3);
        Tensor contiguous = view(leaf).detach().contiguous().clone().requires_grad_();
        Tensor expected = AsftFunctional.asft_loss(contiguous, labels, reference.contiguous(), reduction: reduction);
        Tensor upstream = full_like(expected, 0.5);
        expected.backward([upstream]);

        // Multiplied by 1, so that the base is no leaf, which torch lets nobody overwrite; with its strides kept.
        Tensor logits = view(leaf * 1.0);
        Assert.That(logits.shape, Is.EqualTo(new long[] { 2, 3, 7 }));
        Tensor actual = AsftFunctional.asft_loss(logits, labels, reference, reduction: reduction, inPlace: inPlace);
        actual.backward([upstream]);

        Assert.That(Values(actual), Is.EqualTo(Values(expected)));
        Assert.That(Values(view(Gradient(leaf))), Is.EqualTo(Values(Gradient(contiguous))));
        Assert.That(
            Values(Gradient(leaf)).Count(g => g != 0), Is.EqualTo(Values(Gradient(contiguous)).Count(g => g != 0)), "nothing besides the view has a gradient");
    }

    [Test]
    public void InPlaceWritesTheRowsAndNothingElse([ValueSource(nameof(Layouts))] string layout, [Values(ScalarType.Float32, ScalarType.Float16)] ScalarType type)
    {
        (long[] shape, Func<Tensor, Tensor> view, bool contiguousRows) = s_layouts[layout];
        Tensor leaf = randn(shape, ScalarType.Float64).to(type).clone().requires_grad_();
        Tensor @base = leaf * 1.0;
        Tensor logits = view(@base);
        Tensor labels = tensor(new long[] { 1, -100, 6, 0, 0, 3 }).reshape(2, 3);
        Tensor reference = randn(2, 3, 7, ScalarType.Float64).to(type);
        Tensor expected = leaf.detach().clone();
        AsftFunctional.asft_loss(logits, labels, reference, inPlace: true).backward();
        if (contiguousRows)
        {
            view(expected).copy_(view(Gradient(leaf)));
        }

        Assert.That(Values(@base), Is.EqualTo(Values(expected)));
    }

    [Test]
    public void GradientOfALeafIsTheLogitsOwnMemory(
        [Values] Reduction reduction, [Values(1, 2, 3, 4)] int dimensions, [Values(ScalarType.Float32, ScalarType.Float16)] ScalarType type)
    {
        long[] shape = [.. new long[] { 2, 3, 4, 5 }[(4 - dimensions)..]];
        Tensor leaf = randn(shape, ScalarType.Float32).to(type).clone().requires_grad_();
        Tensor logits = Computed(leaf);
        Tensor labels = zeros(shape[..^1], ScalarType.Int64);
        nint address = Address(logits);
        Tensor loss = AsftFunctional.asft_loss(logits, labels, randn(shape), reduction: reduction, inPlace: true);
        loss.backward([ones_like(loss)]);
        Assert.That(Address(Gradient(leaf)), Is.EqualTo(address));
        Assert.That(Values(logits), Is.EqualTo(Values(Gradient(leaf))));
    }

    [Test]
    public void GradientOfALeafWithPermutedDimensionsIsNotCopied([Values] bool inPlace)
    {
        Tensor leaf = randn(3, 2, 7).transpose(0, 1).requires_grad_();
        Tensor logits = Computed(leaf);
        nint address = Address(logits);
        AsftFunctional.asft_loss(logits, zeros(2, 3, ScalarType.Int64), randn(2, 3, 7), inPlace: inPlace).backward();
        Assert.That(Gradient(leaf).stride(), Is.EqualTo(leaf.stride()), "the strides that torch gives a leaf's gradient");
        Assert.That(Address(Gradient(leaf)) == address, Is.EqualTo(inPlace));
    }

    /// <summary>Expanded logits share memory among rows. Writing gradients over them would add nothing up.</summary>
    [Test]
    public void ExpandedLogitsAreNotOverwritten([Values] bool inPlace, [Values] Reduction reduction)
    {
        Tensor leaf = randn(1, 7).requires_grad_();
        Tensor separate = leaf.detach().expand(4, 7).clone().requires_grad_();
        Tensor labels = tensor(new long[] { 0, 1, 2, 6 });
        Tensor reference = randn(1, 7);
        AsftFunctional.asft_loss(separate, labels, reference.expand(4, 7), reduction: reduction).sum().backward();
        Tensor row = Computed(leaf);

        AsftFunctional.asft_loss(row.expand(4, 7), labels, reference.expand(4, 7), reduction: reduction, inPlace: inPlace).sum().backward();

        AssertClose(Gradient(leaf), Gradient(separate).sum(0, keepdim: true), 1e-6, 1e-6, "gradient");
        Assert.That(Values(row), Is.EqualTo(Values(leaf)));
    }

    [Test]
    public void OverlappingWindowsAreNotOverwritten()
    {
        Tensor leaf = randn(10).requires_grad_();
        Tensor separate = leaf.detach().unfold(0, 4, 2).clone().requires_grad_();
        Tensor labels = tensor(new long[] { 0, 1, 2, 3 });
        AsftFunctional.asft_loss(separate, labels, objective: Asft.Kernels.LossObjective.Dft).backward();
        Tensor expected = zeros(10);
        for (int row = 0; row < 4; row++)
        {
            expected.narrow(0, 2 * row, 4).add_(Gradient(separate)[row]);
        }

        AsftFunctional.asft_loss(Computed(leaf).unfold(0, 4, 2), labels, objective: Asft.Kernels.LossObjective.Dft, inPlace: true).backward();
        AssertClose(Gradient(leaf), expected, 1e-7, 1e-6, "gradient");
    }

    /// <summary>A reference in the memory that is overwritten is read before it is gone.</summary>
    [Test]
    public void ReferenceInTheSameMemory([Values] bool inPlace, [Values] Reduction reduction)
    {
        Tensor both = randn(5, 7);
        Tensor labels = tensor(new long[] { 0, 1, 2, 6 });
        Tensor separate = both.narrow(0, 0, 4).clone().requires_grad_();
        AsftFunctional.asft_loss(separate, labels, both.narrow(0, 1, 4).clone(), reduction: reduction).sum().backward();

        both.requires_grad = true;
        Tensor memory = Computed(both);
        AsftFunctional.asft_loss(memory.narrow(0, 0, 4), labels, memory.narrow(0, 1, 4), reduction: reduction, inPlace: inPlace).sum().backward();

        Assert.That(Values(Gradient(both).narrow(0, 0, 4)), Is.EqualTo(Values(Gradient(separate))));
    }

    [Test]
    public void InPlaceGradientIsTheSame(
        [Values] Reduction reduction,
        [Values(ScalarType.Float32, ScalarType.Float64, ScalarType.BFloat16, ScalarType.Float16)] ScalarType type,
        [Values(1, 4)] double factor)
    {
        Tensor labels = tensor(new long[] { 5, -100, 6, 0 });
        Tensor logits = randn(4, 333, ScalarType.Float64).to(type).clone().requires_grad_();
        Tensor again = logits.detach().clone().requires_grad_();
        Tensor reference = randn(4, 333, ScalarType.Float64).to(type);
        (AsftFunctional.asft_loss(logits, labels, reference, reduction: reduction) * factor).sum().backward();
        (AsftFunctional.asft_loss(Computed(again), labels, reference, reduction: reduction, inPlace: true) * factor).sum().backward();
        if (TakenPath != LossPath.Host && type == ScalarType.BFloat16 && factor != 1)
        {
            // A device computes the gradient again where it is not in place, and may come to a neighbouring value before it rounds.
            AssertClose(Gradient(again), Gradient(logits), 0, Math.ScaleB(1, -7), "gradient");
            return;
        }

        AssertSameBits(Values(Gradient(again)), Values(Gradient(logits)), type);
    }

    [Test]
    public void DtypesOfPolicyAndReferenceMix(
        [Values(ScalarType.Float32, ScalarType.Float64, ScalarType.BFloat16, ScalarType.Float16)] ScalarType type,
        [Values(ScalarType.Float32, ScalarType.Float64, ScalarType.BFloat16, ScalarType.Float16)] ScalarType referenceType,
        [Values] bool inPlace)
    {
        Tensor labels = tensor(new[] { 5, -100, 6, 0 }, ScalarType.Int32);
        Tensor logits = randn(4, 33, ScalarType.Float64).to(type).clone().requires_grad_();
        Tensor reference = randn(4, 33, ScalarType.Float64).to(referenceType);
        Tensor exact = logits.detach().to(ScalarType.Float64).clone().requires_grad_();
        Tensor longs = labels.to(ScalarType.Int64);
        Tensor tokens = ComposedLoss.Tokens(exact, longs, reference.to(ScalarType.Float64), Asft.Kernels.LossObjective.Asft());
        ComposedLoss.Reduce(tokens, longs, Asft.Kernels.LossObjective.Asft(), Reduction.Mean).backward();
        AsftFunctional.asft_loss(Computed(logits), labels, reference, inPlace: inPlace).backward();
        AssertGradient(Gradient(logits), Gradient(exact), type, 1, "gradient");
    }
}
