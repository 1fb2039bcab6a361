namespace Asft.Kernels;

/// <summary>How a token's negative log-likelihood is weighted. The weight is a constant for differentiation.</summary>
public enum TokenWeighting
{
    /// <summary>Every token weighs 1: supervised fine-tuning (SFT).</summary>
    None,

    /// <summary>
    /// <c>w = p[y]^a * (1-p[y])^b</c> with a = WeightExponent and b = WeightComplementExponent, from the policy's own probability of the label:
    /// dynamic fine-tuning (DFT, arXiv 2508.05629; a = 1, b = 0), which is the first half of ASFT (arXiv 2509.23753), the focal loss
    /// (arXiv 1708.02002; a = 0) and CHORD's phi (arXiv 2508.11408; a = b = 1).
    /// </summary>
    Probability,

    /// <summary>
    /// <c>w = p[y]/q[y]</c>, policy over reference: token-level importance-weighted SFT (iw-SFT, arXiv 2507.12856), proximal SFT with a bound
    /// (PSFT, arXiv 2508.17784). Needs the reference's logits, or its log-probability of the label.
    /// </summary>
    ImportanceRatio,

    /// <summary>
    /// <c>w = (H/EntropyScale)^a</c> with a = WeightExponent, from the policy's entropy H in nats: entropy-adaptive fine-tuning
    /// (EAFT, arXiv 2601.02151).
    /// </summary>
    Entropy,
}

/// <summary>What becomes of a weight outside of <c>[WeightMin, WeightMax]</c>.</summary>
public enum WeightBound
{
    /// <summary>It is moved to the bound.</summary>
    Clamp,

    /// <summary>It becomes 0.</summary>
    Drop,
}

/// <summary>
/// How the divergence of a token is found. The estimators need no more of the reference than <c>lq[y]</c>, with <c>d = lq[y] - lp[y]</c>
/// (J. Schulman, "Approximating KL Divergence").
/// </summary>
public enum KlEstimator
{
    /// <summary>Over the whole vocabulary or, of a top-k reference, over its entries and one for all others.</summary>
    Exact,

    /// <summary><c>-d</c>, which may be negative.</summary>
    K1,

    /// <summary><c>d²/2</c>.</summary>
    K2,

    /// <summary><c>e^d - 1 - d</c>.</summary>
    K3,
}

/// <summary>Which way the per-token Kullback-Leibler divergence between policy <c>p</c> and reference <c>q</c> is taken.</summary>
public enum KlDirection
{
    /// <summary>
    /// <c>KL(q || p) = sum_i q_i (log q_i - log p_i)</c>: what the ASFT paper (arXiv 2509.23753 v3, eq. 6) writes, and what its code,
    /// LLaMA-Factory and Unsloth compute.
    /// </summary>
    Forward,

    /// <summary><c>KL(p || q) = sum_i p_i (log p_i - log q_i)</c>: what the first version of the ASFT paper wrote.</summary>
    Reverse,
}

/// <summary>
/// The loss of one token, as a value: <c>NllWeight*w*nll + KlWeight*kl + ZLossWeight*lse²</c>, every term switched by a property.
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

    /// <summary>
    /// Exponent a of <see cref="TokenWeighting.Probability"/> and <see cref="TokenWeighting.Entropy"/>, finite and at least 0. Default 1.
    /// </summary>
    public double WeightExponent { get; init => field = NonNegative(value, nameof(WeightExponent)); } = 1;

    /// <summary>Exponent b of <c>1-p[y]</c> in <see cref="TokenWeighting.Probability"/>, finite and at least 0. Default 0.</summary>
    public double WeightComplementExponent { get; init => field = NonNegative(value, nameof(WeightComplementExponent)); }

    /// <summary>
    /// The entropy, in nats, that weighs 1 in <see cref="TokenWeighting.Entropy"/>, finite and above 0. Default 3, as published.
    /// </summary>
    public double EntropyScale { get; init => field = Positive(value, nameof(EntropyScale)); } = 3;

    /// <summary>Lower bound of the weight, finite, at least 0 and at most <see cref="WeightMax"/>. Default 0.</summary>
    public double WeightMin
    {
        get;
        init => field = NonNegative(value, nameof(WeightMin)) <= WeightMax
            ? value
            : throw OutOfRange.Of(nameof(WeightMin), value, Invariant($"at most WeightMax ({WeightMax})"));
    }

    /// <summary>
    /// Upper bound of the weight, at least <see cref="WeightMin"/>. Default positive infinity.
    /// Properties are set in the order written: to raise both bounds in one <c>with</c>, write this one first.
    /// </summary>
    public double WeightMax
    {
        get;
        init => field = value >= WeightMin
            ? value
            : throw OutOfRange.Of(nameof(WeightMax), value, Invariant($"at least WeightMin ({WeightMin})"));
    } = double.PositiveInfinity;

    /// <summary>What becomes of a weight outside of its bounds. Default <see cref="WeightBound.Clamp"/>.</summary>
    public WeightBound WeightBound { get; init => field = Defined(value, nameof(WeightBound)); } = WeightBound.Clamp;

    /// <summary>Factor of the weighted negative log-likelihood, finite and at least 0; 0 leaves pure distillation. Default 1.</summary>
    public double NllWeight { get; init => field = NonNegative(value, nameof(NllWeight)); } = 1;

    /// <summary>Weight of the per-token KL divergence, finite and at least 0; above 0 the loss needs a reference. Default 0.</summary>
    public double KlWeight { get; init => field = NonNegative(value, nameof(KlWeight)); }

    /// <summary>Direction of the KL divergence. Default <see cref="KlDirection.Forward"/>.</summary>
    public KlDirection KlDirection { get; init => field = Defined(value, nameof(KlDirection)); } = KlDirection.Forward;

    /// <summary>How the KL divergence is found. Default <see cref="KlEstimator.Exact"/>.</summary>
    public KlEstimator KlEstimator { get; init => field = Defined(value, nameof(KlEstimator)); } = KlEstimator.Exact;

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
    public double LogitScale { get; init => field = Positive(value, nameof(LogitScale)); } = 1;

    /// <summary>
    /// Softcap c, finite and at least 0: logits become <c>c*tanh(s*x/c)</c>, as in Gemma 2 (arXiv 2408.00118). Default 0, none.
    /// </summary>
    public double LogitSoftcap { get; init => field = NonNegative(value, nameof(LogitSoftcap)); }

    /// <summary>Weight of <c>logsumexp(z)²</c> (the z-loss of PaLM, arXiv 2204.02311), finite and at least 0. Default 0.</summary>
    public double ZLossWeight { get; init => field = NonNegative(value, nameof(ZLossWeight)); }

    /// <summary>True when the loss cannot be computed without a reference.</summary>
    public bool NeedsReference => KlWeight > 0 || Weighting == TokenWeighting.ImportanceRatio;

    /// <summary>Why what was kept of a reference cannot serve this objective; null where it can.</summary>
    /// <param name="isLabels">It is the log-probabilities of the labels.</param>
    /// <param name="isTopK">It is the most likely entries.</param>
    internal string? ReferenceRefusal(bool isLabels, bool isTopK) =>
        isLabels && KlWeight > 0 && KlEstimator == KlEstimator.Exact
            ? "KlEstimator.Exact needs more of the reference than LabelLogProbabilities: with these, say K1, K2 or K3."
            : isTopK && Weighting == TokenWeighting.ImportanceRatio
                ? "ImportanceRatio needs the reference's log-probability of every label, which TopK does not tell."
                : isTopK && KlWeight > 0 && KlEstimator != KlEstimator.Exact
                    ? $"{KlEstimator} needs the reference's log-probability of every label, which TopK does not tell: with it, say Exact."
                    : null;

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
            CheckFits(NllWeight, nameof(NllWeight));
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

    private static double Positive(double value, string name) => value > 0 && double.IsFinite(value)
        ? value
        : throw OutOfRange.Of(name, value, "finite and above 0");

    private static T Defined<T>(T value, string name)
        where T : struct, Enum => Enum.IsDefined(value)
            ? value
            : throw OutOfRange.Of(name, value, $"a {typeof(T).Name}");
}
