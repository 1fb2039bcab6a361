using System.Runtime.CompilerServices;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.autograd;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>
/// A kernel for tensors that the host cannot read without waiting for a device. Nothing here waits: what depends on labels, counts or
/// the upstream gradient is decided on the device, so that the host can go on to give it the next work. One for each kernel.
/// </summary>
internal sealed unsafe class AcceleratorLossDevice : LossDevice
{
    private static readonly ConditionalWeakTable<IDeviceTokenLossKernel, AcceleratorLossDevice> s_devices = [];

    private readonly IDeviceTokenLossKernel _kernel;

    /// <summary>A wrong label that became known in a backward pass, for the next forward pass to throw.</summary>
    private ArgumentOutOfRangeException? _fault;

    private AcceleratorLossDevice(IDeviceTokenLossKernel kernel) => _kernel = kernel;

    /// <inheritdoc/>
    public override ITokenLossKernel Kernel => _kernel;

    /// <summary>The device of a kernel.</summary>
    public static AcceleratorLossDevice Of(IDeviceTokenLossKernel kernel) =>
        s_devices.GetValue(kernel, static of => new AcceleratorLossDevice(of));

    /// <summary>Throws for a label that the device has found to be out of range by now.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is one.</exception>
    public void ThrowIfFaulted()
    {
        if (Interlocked.Exchange(ref _fault, null) is { } postponed)
        {
            throw postponed;
        }

        _kernel.ThrowIfFaulted();
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">The token count is in host memory and is negative or not finite.</exception>
    public override (TokenScale Scale, TokenCount Count) Count(Tensor labels, LossArguments arguments)
    {
        ThrowIfFaulted();
        bool isMean = arguments.Reduction == Reduction.Mean;
        Tensor? denominator = isMean && arguments.TokenCount is not null ? Denominator(arguments.TokenCount, labels.device) : null;
        Tensor counted = TensorMemory.Empty([], ScalarType.Int64, labels.device);
        Tensor factor = TensorMemory.Empty([], arguments.Accumulator, labels.device);
        _kernel.Count(new TokenCounting
        {
            Labels = (long*)TensorMemory.Pointer(labels),
            Rows = labels.numel(),
            IgnoreIndex = arguments.Objective.IgnoreIndex,
            IsMean = isMean,
            Denominator = denominator is null ? null : (double*)TensorMemory.Pointer(denominator),
            Type = TensorMemory.TypeOf(factor)!.Value,
            Counted = (long*)TensorMemory.Pointer(counted),
            Factor = TensorMemory.Pointer(factor),
        });
        return (isMean ? TokenScale.Times(factor) : TokenScale.DividedBy(1), new TokenCount(counted, this));
    }

    /// <inheritdoc/>
    public override Tensor Total(Tensor losses, TokenScale scale)
    {
        Tensor total = TensorMemory.Empty([], losses.dtype, losses.device);
        _kernel.Total(
            TensorMemory.Pointer(losses),
            losses.numel(),
            TensorMemory.TypeOf(losses)!.Value,
            scale.Factor is null ? null : TensorMemory.Pointer(scale.Factor),
            TensorMemory.Pointer(total));
        return scale.Denominator == 1 ? total : total.div_(scale.Denominator);
    }

    /// <inheritdoc/>
    public override void Backward(TokenProblem problem, TokenOutputs saved, TokenGradient gradient) =>
        PostponeFault(() => _kernel.Backward(problem, saved, gradient));

    /// <inheritdoc/>
    public override void Recompute(TokenProblem problem, TokenGradient gradient) =>
        PostponeFault(() => _kernel.Forward(problem, default, gradient));

    /// <inheritdoc/>
    public override bool TryMultiply(LossGraph graph, AutogradContext context, Tensor gradient, Tensor labels, Tensor upstream)
    {
        if (labels.numel() == 0)
        {
            return true;
        }

        LogitRows rows = LogitRows.Of(gradient);
        if (graph.OverwritesLogits || gradient.dtype != ScalarType.BFloat16)
        {
            TokenProblem finished = LossComputation.Problem(graph.Objective, labels, rows, reference: default);
            TokenGradient product = TokenScale.DividedBy(1).Gradient(rows.Matrix, upstream);
            PostponeFault(() => _kernel.Rescale(finished, product));
            return true;
        }

        // A product would be rounded twice, and whether there is one to compute is known on the device alone.
        SavedTensors saved = graph.SavedBy(context);
        TokenProblem problem = LossBackward.Problem(graph, saved, LogitRows.Of(saved.Logits), gradient);
        TokenOutputs outputs = saved.Outputs;
        TokenGradient wanted = graph.Scale(saved).Gradient(rows.Matrix, upstream);
        PostponeFault(() => _kernel.BackwardUnlessOne(problem, outputs, wanted, TensorMemory.Pointer(upstream)));
        return true;
    }

    /// <summary>
    /// Calls the kernel in a backward pass, from which an exception reaches nobody as what it is: if the call throws an earlier call's
    /// fault instead of doing its work, it is repeated, and the first fault waits for the next forward pass. Every repetition uses up a fault,
    /// and what else could be out of range was so in the forward pass.
    /// </summary>
    private void PostponeFault(Action call)
    {
        while (true)
        {
            try
            {
                call();
                return;
            }
            catch (ArgumentOutOfRangeException fault) when (fault.ParamName == "labels")
            {
                Interlocked.CompareExchange(ref _fault, fault, null);
            }
        }
    }

    /// <summary>The caller's count of tokens in float64 on the device.</summary>
    private static Tensor Denominator(Tensor tokenCount, Device device)
    {
        if (tokenCount.device_type != DeviceType.CPU || device.type == DeviceType.CPU)
        {
            return tokenCount.to(ScalarType.Float64, device);
        }

        // 0 may be meant, if no token counts, which is not known here.
        double count = TensorMemory.First(tokenCount);
        return count >= 0 && double.IsFinite(count)
            ? TensorMemory.Scalar(count, ScalarType.Float64, device)
            : throw LossArguments.TokenCountOutOfRange(count);
    }
}
