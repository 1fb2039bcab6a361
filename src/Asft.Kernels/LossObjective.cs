namespace Asft.Kernels;

/// <summary>How a token's negative log-likelihood is weighted. The weight is a constant for differentiation.</summary>
public enum TokenWeighting
{
    /// <summary>Every token weighs 1: supervised fine-tuning (SFT).</summary>
    None,

    /// <summary>
    /// <c>w = p[y]^WeightExponent</c>, the policy's own probability of the label: dynamic fine-tuning
    /// (DFT, arXiv 2508.05629), and the first half of ASFT (arXiv 2509.23753).
    /// </summary>
    Probability,

    /// <summary>
    /// <c>w = clamp(p[y]/q[y], WeightMin, WeightMax)</c>, policy over reference: token-level importance-weighted SFT
    /// (iw-SFT, arXiv 2507.12856). Needs reference logits.
    /// </summary>
    ImportanceRatio,
}

/// <summary>Which way the per-token Kullback-Leibler divergence between policy <c>p</c> and reference <c>q</c> is taken.</summary>
public enum KlDirection
{
    /// <summary>
    /// <c>KL(q || p) = sum_i q_i (log q_i - log p_i)</c>: what the released code of the ASFT paper, LLaMA-Factory and Unsloth compute.
    /// </summary>
    Forward,

    /// <summary><c>KL(p || q) = sum_i p_i (log p_i - log q_i)</c>: what the text of the ASFT paper (arXiv 2509.23753) writes.</summary>
    Reverse,
}

/// <summary>
/// The loss of one token, as a value: <c>w*nll + KlWeight*kl + ZLossWeight*lse²</c>, every term switched by a property.
/// Immutable; each property is checked when it is set, and <c>with</c> makes variations:
/// <c>LossObjective.Asft() with { KlDirection = KlDirection.Reverse }</c>.
/// </summary>
/// <remarks>
/// With policy logits <c>x</c>, reference logits <c>r</c>, label <c>y</c> and vocabulary size <c>V</c>:
/// <c>z = s*x</c>, or <c>c*tanh(s*x/c)</c> under a softcap <c>c</c> (and likewise from <c>r</c>);
/// <c>lp = z - logsumexp(z)</c>, <c>p = exp(lp)</c>;
/// <c>nll = -(1-eps)*lp[y] - eps*mean_i lp[i]</c> with <c>eps = LabelSmoothing</c>.
/// </remarks>
public sealed record LossObjective
{
    /// <summary>Plain supervised fine-tuning: the cross-entropy, each token weighing 1.</summary>
    public static LossObjective Sft { get; } = new();

    /// <summary>Dynamic fine-tuning (arXiv 2508.05629): each token's cross-entropy weighted by the policy's probability of it.</summary>
    public static LossObjective Dft { get; } = new() { Weighting = TokenWeighting.Probability };

    /// <summary>Supervised fine-tuning anchored by a per-token KL divergence to the reference.</summary>
    /// <param name="klWeight">Weight of the KL term, finite and at least 0.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="klWeight"/> is negative or not finite.</exception>
    public static LossObjective SftKl(double klWeight) => new() { KlWeight = klWeight };

    /// <summary>Anchored supervised fine-tuning (ASFT, arXiv 2509.23753): DFT plus a per-token KL divergence to the reference.</summary>
    /// <param name="klWeight">Weight of the KL term, finite and at least 0; the paper's code uses 0.05.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="klWeight"/> is negative or not finite.</exception>
    public static LossObjective Asft(double klWeight = 0.05) => Dft with { KlWeight = klWeight };

    /// <summary>How the negative log-likelihood is weighted. Default <see cref="TokenWeighting.None"/>.</summary>
    public TokenWeighting Weighting { get; init => field = Defined(value, nameof(Weighting)); } = TokenWeighting.None;

    /// <summary>Exponent gamma of <see cref="TokenWeighting.Probability"/>, finite and at least 0. Default 1.</summary>
    public double WeightExponent { get; init => field = NonNegative(value, nameof(WeightExponent)); } = 1;

    /// <summary>
    /// Lower clamp of <see cref="TokenWeighting.ImportanceRatio"/>, finite, at least 0 and at most <see cref="WeightMax"/>. Default 0.
    /// </summary>
    public double WeightMin
    {
        get;
        init => field = NonNegative(value, nameof(WeightMin)) <= WeightMax
            ? value
            : throw OutOfRange.Of(nameof(WeightMin), value, Invariant($"at most WeightMax ({WeightMax})"));
    }

    /// <summary>
    /// Upper clamp of <see cref="TokenWeighting.ImportanceRatio"/>, at least <see cref="WeightMin"/>. Default positive infinity.
    /// Properties are set in the order written: to raise both bounds in one <c>with</c>, write this one first.
    /// </summary>
    public double WeightMax
    {
        get;
        init => field = value >= WeightMin
            ? value
            : throw OutOfRange.Of(nameof(WeightMax), value, Invariant($"at least WeightMin ({WeightMin})"));
    } = double.PositiveInfinity;

    /// <summary>Weight of the per-token KL divergence, finite and at least 0; above 0 the loss needs reference logits. Default 0.</summary>
    public double KlWeight { get; init => field = NonNegative(value, nameof(KlWeight)); }

    /// <summary>Direction of the KL divergence. Default <see cref="KlDirection.Forward"/>.</summary>
    public KlDirection KlDirection { get; init => field = Defined(value, nameof(KlDirection)); } = KlDirection.Forward;

    /// <summary>A label with this value makes its row count for nothing: loss 0, gradient 0, logits not read. Default -100.</summary>
    public long IgnoreIndex { get; init; } = -100;

    /// <summary>Label smoothing eps, in [0, 1]. Default 0. A vocabulary entry masked with -inf takes no part in the mean.</summary>
    public double LabelSmoothing
    {
        get;
        init => field = value is >= 0 and <= 1
            ? value
            : throw OutOfRange.Of(nameof(LabelSmoothing), value, "in [0, 1]");
    }

    /// <summary>Scale s that both sets of logits are multiplied with (an inverse temperature), finite and above 0. Default 1.</summary>
    public double LogitScale
    {
        get;
        init => field = value > 0 && double.IsFinite(value)
            ? value
            : throw OutOfRange.Of(nameof(LogitScale), value, "finite and above 0");
    } = 1;

    /// <summary>
    /// Softcap c, finite and at least 0: logits become <c>c*tanh(s*x/c)</c>, as in Gemma 2 (arXiv 2408.00118). Default 0, none.
    /// </summary>
    public double LogitSoftcap { get; init => field = NonNegative(value, nameof(LogitSoftcap)); }

    /// <summary>Weight of <c>logsumexp(z)²</c> (the z-loss of PaLM, arXiv 2204.02311), finite and at least 0. Default 0.</summary>
    public double ZLossWeight { get; init => field = NonNegative(value, nameof(ZLossWeight)); }

    /// <summary>True when the loss cannot be computed without reference logits.</summary>
    public bool NeedsReference => KlWeight > 0 || Weighting == TokenWeighting.ImportanceRatio;

    /// <summary>
    /// Throws where a constant is too large for the arithmetic: float32 unless the policy's logits are float64. With logits of their own
    /// size, products of larger ones would be infinite.
    /// </summary>
    /// <param name="logits">Storage of the policy's logits.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is such a constant; the message names it and its value.</exception>
    internal void CheckFits(ElementType logits)
    {
        if (logits != ElementType.Float64)
        {
            CheckFits(KlWeight, nameof(KlWeight));
            CheckFits(ZLossWeight, nameof(ZLossWeight));
            CheckFits(LogitScale, nameof(LogitScale));
            CheckFits(LogitSoftcap, nameof(LogitSoftcap));
        }
    }

    private static void CheckFits(double value, string name)
    {
        const double Largest = 1e30;
        if (value > Largest)
        {
            throw OutOfRange.Of(name, value, Invariant($"at most {Largest:R} for logits that are not float64, whose loss is computed in float32"));
        }
    }

    private static double NonNegative(double value, string name) => value >= 0 && double.IsFinite(value)
        ? value
        : throw OutOfRange.Of(name, value, "finite and at least 0");

    private static T Defined<T>(T value, string name)
        where T : struct, Enum => Enum.IsDefined(value)
            ? value
            : throw OutOfRange.Of(name, value, $"a {typeof(T).Name}");
}
