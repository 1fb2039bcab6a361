using Asft.Bench.Measuring;
using Asft.Interop;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Bench.Linear;

/// <summary>
/// The loss from hidden states, each case forward and backward with gradients for hidden and weight unless named otherwise. The
/// reference has a trunk of its own and the policy's head, as with LoRA.
/// </summary>
public sealed class LinearWorkload : IDisposable
{
    public const string Composed = "composed";
    public const string Products = "its four matrix products";
    public const string Fused = "linear_asft_loss";
    public const string FusedSmall = "linear_asft_loss, 28 MiB of workspace";
    public const string FusedIgnoring = "linear_asft_loss, 75 % ignored";
    public const string FusedFrozen = "linear_asft_loss, frozen head";
    public const string FusedSft = "linear_asft_loss, SFT";
    public const string FusedSftHalf = "linear_asft_loss, SFT, half ignored";
    public const string ComposedSft = "composed, SFT";
    public const string ComposedSftHalf = "composed, SFT, half ignored";

    /// <summary>A workspace with which the loss stays below 32 MB.</summary>
    private const long SmallWorkspace = 28 << 20;

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Tensor _hidden;
    private readonly Tensor _weight;
    private readonly Tensor _reference;
    private readonly Tensor _labels;

    /// <param name="rows">Tokens.</param>
    /// <param name="width">Size of a hidden state.</param>
    /// <param name="vocabulary">Size of the vocabulary.</param>
    /// <param name="threads">Torch's threads.</param>
    /// <param name="composed">With what it is compared to, which needs all logits at once.</param>
    /// <param name="type">Dtype of hidden states and weight.</param>
    public LinearWorkload(long rows, long width, long vocabulary, int threads, bool composed, ScalarType type = ScalarType.Float32)
    {
        set_num_threads(threads);
        manual_seed(1);
        Size = $"N {rows}, d {width}, V {vocabulary}";
        _hidden = randn(rows, width).to_type(type);
        _weight = randn(vocabulary, width).mul_(3 / Math.Sqrt(width)).to_type(type);
        _reference = randn(rows, width).mul_(0.1).add_(_hidden).to_type(type);
        _labels = LikelyLabels();
        Tensor mostlyIgnored = _labels.clone().masked_fill_(rand(rows) < 0.75, -100);
        Tensor frozen = _weight.detach();
        _hidden.requires_grad = true;
        _weight.requires_grad = true;

        Cases =
        [
            new(Fused, () => Step(() => FusedLoss(options: null)), ClearGradients),
            new(FusedSmall, () => Step(() => FusedLoss(new LinearLossOptions { WorkspaceBytes = SmallWorkspace })), ClearGradients),
            new(
                FusedFrozen,
                () => Step(() => AsftFunctional.linear_asft_loss(_hidden, frozen, _labels, reference: _reference)),
                ClearGradients),
            new(
                FusedIgnoring,
                () => Step(() => AsftFunctional.linear_asft_loss(_hidden, _weight, mostlyIgnored, reference: _reference)),
                ClearGradients),
        ];
        if (composed)
        {
            Tensor half = _labels.clone().masked_fill_(rand(rows) < 0.5, -100);
            Tensor logits = zeros([rows, vocabulary], type);
            Tensor hiddenGradient = zeros([rows, width], type);
            Tensor weightGradient = zeros([vocabulary, width], type);
            Cases =
            [
                .. Cases,
                new(FusedSft, () => Step(() => AsftFunctional.linear_asft_loss(_hidden, _weight, _labels, objective: LossObjective.Sft)), ClearGradients),
                new(FusedSftHalf, () => Step(() => AsftFunctional.linear_asft_loss(_hidden, _weight, half, objective: LossObjective.Sft)), ClearGradients),
                new(ComposedSft, () => Step(() => Peers.Composed.Loss(LossObjective.Sft, _hidden.matmul(_weight.t()), _labels, null)), ClearGradients),
                new(ComposedSftHalf, () => Step(() => Peers.Composed.Loss(LossObjective.Sft, _hidden.matmul(_weight.t()), half, null)), ClearGradients),
                new(Composed, () => Step(() => ComposedLoss(_hidden, _weight, _reference, _labels)), ClearGradients),
                new(Products, () => RunProducts(logits, hiddenGradient, weightGradient)),
            ];
        }
    }

    public string Size { get; }

    public IReadOnlyList<TimedCase> Cases { get; }

    public void Run(string name) => Cases.Single(c => c.Name == name).Run();

    /// <summary>
    /// Peak resident memory of one run beyond what was there before it and beyond the gradients that it leaves, in bytes.
    /// </summary>
    public long PeakMemory(string name)
    {
        TimedCase measured = Cases.Single(c => c.Name == name);
        measured.Prepare?.Invoke();
        measured.Run(); // torch's matrix products keep buffers of their own from their first call on
        measured.Prepare?.Invoke();
        long peak = ResidentMemory.PeakDuring(measured.Run);
        long gradients = (_hidden.grad?.numel() ?? 0) + (_weight.grad?.numel() ?? 0);
        return peak - (gradients * sizeof(float));
    }

    /// <summary>
    /// Distances of loss, d hidden and d weight from those of the composed loss in float64, relative to their norms.
    /// </summary>
    public (double Loss, double Hidden, double Weight) Errors(string name)
    {
        const long Block = 128; // the composed loss in float64 would not fit into memory otherwise
        using DisposeScope scope = NewDisposeScope();
        ClearGradients();
        Tensor loss = name == Composed ? ComposedLoss(_hidden, _weight, _reference, _labels) : FusedLoss(options: null);
        loss.backward();

        Tensor hidden = _hidden.detach().to(ScalarType.Float64).requires_grad_();
        Tensor weight = _weight.detach().to(ScalarType.Float64).requires_grad_();
        Tensor reference = _reference.to(ScalarType.Float64);
        long rows = hidden.size(0);
        double exact = 0;
        for (long first = 0; first < rows; first += Block)
        {
            using DisposeScope block = NewDisposeScope();
            long count = Math.Min(Block, rows - first);
            Tensor part = ComposedLoss(
                hidden.narrow(0, first, count), weight, reference.narrow(0, first, count), _labels.narrow(0, first, count)) * ((double)count / rows);
            part.backward();
            exact += part.item<double>();
        }

        return (Math.Abs(loss.item<float>() - exact) / exact, Distance(_hidden.grad!, hidden.grad!), Distance(_weight.grad!, weight.grad!));
    }

    public void ClearGradients()
    {
        _hidden.grad = null;
        _weight.grad = null;
    }

    public void Dispose() => _scope.Dispose();

    private Tensor FusedLoss(LinearLossOptions? options) =>
        AsftFunctional.linear_asft_loss(_hidden, _weight, _labels, reference: _reference, options: options);

    /// <summary>
    /// Labels drawn from the policy's own distribution, as a text's tokens mostly are likely ones: with labels drawn blindly,
    /// DFT's weights would be next to 0, and the gradient but the difference of two nearly equal distributions.
    /// </summary>
    private Tensor LikelyLabels()
    {
        const long Block = 256;
        using DisposeScope scope = NewDisposeScope();
        List<Tensor> labels = [];
        for (long first = 0; first < _hidden.size(0); first += Block)
        {
            using DisposeScope block = NewDisposeScope();
            Tensor logits = _hidden.narrow(0, first, Math.Min(Block, _hidden.size(0) - first)).matmul(_weight.t()).to_type(ScalarType.Float32);
            labels.Add(nn.functional.softmax(logits, -1).multinomial(1).squeeze(-1).MoveToOuterDisposeScope());
        }

        return cat(labels).MoveToOuterDisposeScope();
    }

    private static Tensor ComposedLoss(Tensor hidden, Tensor weight, Tensor reference, Tensor labels)
    {
        Tensor referenceLogits;
        using (no_grad())
        {
            referenceLogits = reference.matmul(weight.t());
        }

        return Peers.Composed.Asft(hidden.matmul(weight.t()), labels, referenceLogits);
    }

    /// <summary>The same products into memory that is there already.</summary>
    private void RunProducts(Tensor logits, Tensor hiddenGradient, Tensor weightGradient)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        logits.addmm_(_hidden, _weight.t(), 0, 1);
        logits.addmm_(_reference, _weight.t(), 0, 1);
        hiddenGradient.addmm_(logits, _weight, 0, 1);
        weightGradient.addmm_(logits.t(), _hidden, 0, 1);
    }

    private static double Distance(Tensor actual, Tensor expected) =>
        ((actual.to(ScalarType.Float64) - expected).norm() / expected.norm()).item<double>();

    private static void Step(Func<Tensor> loss)
    {
        using DisposeScope scope = NewDisposeScope();
        loss().backward();
    }
}
