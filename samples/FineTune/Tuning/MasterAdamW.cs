using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Tuning;

/// <summary>
/// AdamW (arXiv 1711.05101) with everything it keeps in float32: of a 16-bit parameter also the weight itself, as updates smaller than the
/// weight's rounding would be lost otherwise. Gradients of 16-bit parameters are summed in float32 too.
/// </summary>
internal sealed class MasterAdamW : IDisposable
{
    private const double Beta1 = 0.9;
    private const double Beta2 = 0.95;
    private const double Epsilon = 1e-8;
    private const long PieceElements = 1 << 17; // of five arrays, which stay in a cache for the seven operations on them

    private readonly Slot[] slots;
    private readonly double weightDecay;

    /// <param name="parameters">What to train, each once, and its name.</param>
    /// <param name="weightDecay">Of matrices; biases and norms have none.</param>
    public MasterAdamW(IEnumerable<(string Name, Parameter Parameter)> parameters, double weightDecay)
    {
        this.weightDecay = weightDecay;
        using var noGrad = no_grad();
        slots = [.. parameters.Select(entry => new Slot(entry.Name, entry.Parameter))];
    }

    /// <summary>Steps made.</summary>
    public int Steps { get; private set; }

    /// <summary>All that the next step depends on, by name: weights in float32, and the means of gradients and of their squares.</summary>
    public IReadOnlyList<(string Name, Tensor Tensor)> State =>
    [
        .. slots.SelectMany(slot => new[]
        {
            (slot.Name, slot.Master), (slot.Name + ".mean", slot.Mean), (slot.Name + ".square", slot.Square),
        }),
    ];

    /// <summary>Takes the gradients of a backward pass to those of the passes before it, since the last step.</summary>
    public void Accumulate()
    {
        using var noGrad = no_grad();
        foreach (Slot slot in slots)
        {
            slot.Accumulate();
        }
    }

    /// <summary>Makes the gradients of this step's passes those of all ranks' passes.</summary>
    public void SumGradients(Ranks ranks)
    {
        using var noGrad = no_grad();
        foreach (Slot slot in slots)
        {
            slot.Sum(ranks);
        }
    }

    /// <summary>Norm of all gradients; NaN or infinite if one of them is.</summary>
    public double GradientNorm()
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        return Math.Sqrt(slots.Sum(slot => slot.Gradient is { } gradient ? Math.Pow(gradient.norm().item<float>(), 2) : 0));
    }

    /// <summary>Steps, and forgets the gradients.</summary>
    /// <param name="learningRate">The step's rate.</param>
    /// <param name="scale">What gradients are multiplied with.</param>
    public void Step(double learningRate, double scale = 1)
    {
        using var noGrad = no_grad();
        Steps++;
        foreach (Slot slot in slots)
        {
            slot.Step(learningRate, scale, slot.Parameter.dim() > 1 ? weightDecay : 0, Steps);
            slot.ForgetGradient();
        }
    }

    /// <summary>Goes on after a step: <see cref="State"/> has been read, and 16-bit parameters follow it.</summary>
    public void Resume(int steps)
    {
        using var noGrad = no_grad();
        Steps = steps;
        Array.ForEach(slots, slot => slot.Round());
    }

    public void Dispose() => Array.ForEach(slots, slot => slot.Dispose());

    private sealed class Slot : IDisposable
    {
        private Tensor? sum; // of the gradients, float32

        public Slot(string name, Parameter parameter)
        {
            Name = name;
            Parameter = parameter;
            Master = IsExact ? parameter : parameter.detach().to(ScalarType.Float32).DetachFromDisposeScope();
            Mean = zeros_like(Master, requires_grad: false).DetachFromDisposeScope();
            Square = zeros_like(Master, requires_grad: false).DetachFromDisposeScope();
        }

        public string Name { get; }

        public Parameter Parameter { get; }

        public Tensor Master { get; }

        public Tensor Mean { get; }

        public Tensor Square { get; }

        /// <summary>Null where no gradient has come.</summary>
        public Tensor? Gradient => IsExact ? Parameter.grad : sum;

        private bool IsExact => Parameter.dtype == ScalarType.Float32;

        public void Accumulate()
        {
            if (IsExact || Parameter.grad is not { } gradient)
            {
                return; // torch has added it to the others
            }

            sum = sum is null ? gradient.to(ScalarType.Float32).DetachFromDisposeScope() : sum.add_(gradient);
            Parameter.grad = null;
            gradient.Dispose();
        }

        public void Sum(Ranks ranks)
        {
            using var scope = NewDisposeScope();
            Tensor own = Gradient ?? zeros_like(Master, requires_grad: false); // a rank that had no pass
            Tensor all = ranks.Sum(own);
            if (ReferenceEquals(all, own))
            {
                return;
            }

            if (IsExact)
            {
                Parameter.grad = all;
            }
            else
            {
                sum?.Dispose();
                sum = all.DetachFromDisposeScope();
            }
        }

        public void Step(double learningRate, double scale, double weightDecay, int step)
        {
            if (Gradient is null)
            {
                return;
            }

            using var scope = NewDisposeScope();
            double correction1 = 1 - Math.Pow(Beta1, step);
            double correction2 = Math.Sqrt(1 - Math.Pow(Beta2, step));
            Tensor[] all = [.. new[] { Master, Mean, Square, Gradient.contiguous() }.Select(tensor => tensor.detach().view(-1))];
            for (long begin = 0; begin < all[0].numel(); begin += PieceElements)
            {
                using var pieceScope = NewDisposeScope();
                long count = Math.Min(PieceElements, all[0].numel() - begin);
                Tensor[] piece = Array.ConvertAll(all, tensor => tensor.narrow(0, begin, count));
                (Tensor weight, Tensor mean, Tensor square, Tensor gradient) = (piece[0], piece[1], piece[2], piece[3]);
                mean.mul_(Beta1).add_(gradient, (1 - Beta1) * scale);
                square.mul_(Beta2).addcmul_(gradient, gradient, (1 - Beta2) * scale * scale);
                if (weightDecay != 0)
                {
                    weight.mul_(1 - (learningRate * weightDecay));
                }

                weight.addcdiv_(mean, square.sqrt().add_(Epsilon * correction2), -learningRate * correction2 / correction1);
            }

            Round();
        }

        /// <summary>The parameter as its own dtype has it.</summary>
        public void Round()
        {
            if (!IsExact)
            {
                Parameter.copy_(Master);
            }
        }

        public void ForgetGradient()
        {
            Tensor? gradient = Gradient;
            if (IsExact)
            {
                Parameter.grad = null;
            }

            gradient?.Dispose();
            sum = null;
        }

        public void Dispose()
        {
            sum?.Dispose();
            Mean.Dispose();
            Square.Dispose();
            if (!IsExact)
            {
                Master.Dispose();
            }
        }
    }
}
