namespace Asft.Kernels;

/// <summary>
/// The per-token arithmetic of the objective, in double: from the state of a row to its loss and to the coefficients of its gradient.
/// Every backend that computes on the host shares it; kernels/epilogue.cuh says the same in CUDA. Formulas: docs/design.md.
/// </summary>
internal readonly struct TokenResult
{
    private readonly LossObjective _objective;
    private readonly RowState _state;
    private readonly ReferenceUse _use;
    private readonly bool _anchored;
    private readonly double _vocabulary;
    private readonly double _probability;
    private readonly double _complement;
    private readonly double _factor;
    private readonly double _logSum;
    private readonly double _logSumRatio;
    private readonly double _estimatorSlope;
    private readonly TopKTail? _tail;

    /// <summary>Evaluates a row.</summary>
    /// <param name="objective">The objective.</param>
    /// <param name="state">All of the row.</param>
    /// <param name="use">What the state knows of the reference.</param>
    /// <param name="vocabulary">V.</param>
    /// <param name="isTopK">Whether the reference is one of a few entries.</param>
    /// <param name="weight">w before its bounds, where it is not the objective's.</param>
    public TokenResult(
        LossObjective objective, in RowState state, ReferenceUse use, long vocabulary, bool isTopK = false, double? weight = null)
    {
        _objective = objective;
        _state = state;
        _vocabulary = vocabulary;
        _use = use;
        _anchored = objective.KlWeight > 0;
        _factor = FactorOf(objective);
        double logSum = Math.Log(state.Sum);
        double logReferenceSum = use == ReferenceUse.None ? 0 : Math.Log(state.ReferenceSum);
        _logSum = logSum;
        LogSumExp = (_factor * state.Max) + logSum;
        ReferenceLogSumExp = use == ReferenceUse.None || isTopK ? 0 : (_factor * state.ReferenceMax) + logReferenceSum;
        _logSumRatio = logReferenceSum - logSum;
        double entropy = logSum - (_factor * (state.Entropy / state.Sum));
        Entropy = entropy < 0 ? 0 : entropy; // rounding alone; NaN passes
        SquaredProbabilitySum = state.Squares / (state.Sum * state.Sum);
        _tail = isTopK ? new TopKTail(state, use) : null;
        double kl = use switch
        {
            _ when _tail is { } tail => tail.Kl(state, _factor, logSum),
            ReferenceUse.ForwardKl => (_factor * (state.Cross / state.ReferenceSum)) - _logSumRatio,
            ReferenceUse.ReverseKl => (_factor * ((state.Cross / state.Sum) + (state.ReferenceMax - state.Center))) + _logSumRatio,
            _ => 0,
        };
        Kl = kl < 0 ? 0 : kl;

        // Of a label that is almost certain, 1 - p and log p come from what the others have, and lose nothing.
        double labelDistance = _factor * (state.Label - state.Max);
        double label = Math.Exp(labelDistance);
        double sum = state.OtherSum + label;
        _probability = label / sum;
        _complement = state.OtherSum / sum;
        LogProbability = label > state.OtherSum ? LogOfCertain(state.OtherSum / label) : labelDistance - logSum;

        // Of a label far below both maxima the two distances leave no digits for the ratio, unless what each has lost is counted too.
        double referenceDistance = state.ReferenceLabel - state.ReferenceMax;
        double logRatio = label > state.OtherSum
            ? LogProbability - ((_factor * referenceDistance) - logReferenceSum)
            : (_factor * DifferenceOfDistances(state.Label, state.Max, state.ReferenceLabel, state.ReferenceMax)) + _logSumRatio;
        ReferenceLogProbability = use == ReferenceUse.None || isTopK ? 0 : (_factor * referenceDistance) - logReferenceSum;
        if (objective.KlEstimator != KlEstimator.Exact && use != ReferenceUse.None)
        {
            (Kl, _estimatorSlope) = Estimate(objective.KlEstimator, -logRatio);
        }

        Weight = weight is { } given ? Bounded(objective, given) : WeightOf(objective, LogProbability, _complement, logRatio, Entropy);
        double eps = objective.LabelSmoothing;
        double mean = eps == 0 ? 0 : (_factor * state.Distance) - (state.Unmasked * logSum);
        double nll = -Times(1 - eps, LogProbability) - Times(eps, mean);
        double zLoss = objective.ZLossWeight == 0 ? 0 : objective.ZLossWeight * LogSumExp * LogSumExp;
        Loss = Times(objective.NllWeight * Weight, nll) + Times(objective.KlWeight, Kl) + zLoss;
    }

    /// <summary>
    /// <c>NllWeight*w*nll + KlWeight*kl + ZLossWeight*lse²</c>, where a factor of 0 switches its term off, even an infinite one; short of the caller's
    /// factor.
    /// </summary>
    public double Loss { get; }

    /// <summary>H, or what follows from a state without its terms.</summary>
    public double Entropy { get; }

    /// <summary><c>sum p²</c>, or what follows from a state without its terms.</summary>
    public double SquaredProbabilitySum { get; }

    /// <summary>lq[y], or 0 where the reference does not tell.</summary>
    public double ReferenceLogProbability { get; }

    /// <summary>lp[y].</summary>
    public double LogProbability { get; }

    /// <summary>w.</summary>
    public double Weight { get; }

    /// <summary>The divergence as the objective says, or 0.</summary>
    public double Kl { get; }

    /// <summary>Log-sum-exp of the policy.</summary>
    public double LogSumExp { get; }

    /// <summary>Log-sum-exp of the reference, or 0.</summary>
    public double ReferenceLogSumExp { get; }

    /// <summary>z = factor*y, where y is the logit x itself or, under a softcap, tanh(s*x/c).</summary>
    /// <param name="objective">The objective.</param>
    /// <returns>The scale s, or the softcap c.</returns>
    public static double FactorOf(LossObjective objective) =>
        objective.LogitSoftcap > 0 ? objective.LogitSoftcap : objective.LogitScale;

    /// <summary>y, so that z = factor*y.</summary>
    /// <param name="objective">The objective.</param>
    /// <param name="x">A logit.</param>
    /// <returns>The logit, or its hyperbolic tangent under a softcap.</returns>
    public static double YOf(LossObjective objective, double x) =>
        objective.LogitSoftcap > 0 ? Math.Tanh(objective.LogitScale * x / objective.LogitSoftcap) : x;

    /// <summary><c>1 - tanh²(s*x/c)</c>, or 1 without a softcap.</summary>
    /// <param name="objective">The objective.</param>
    /// <param name="x">A logit.</param>
    /// <returns>What dz/dx has besides the scale s, to the last digit.</returns>
    public static double SlopeOf(LossObjective objective, double x)
    {
        if (objective.LogitSoftcap == 0)
        {
            return 1;
        }

        double e = Math.Exp(-2 * Math.Abs(objective.LogitScale * x / objective.LogitSoftcap));
        return 4 * e / ((1 + e) * (1 + e));
    }

    /// <summary><c>(a - b) - (c - d)</c>, as exact as a double is even where both distances are far larger than what is left of them.</summary>
    /// <param name="a">Minuend of the minuend.</param>
    /// <param name="b">Its subtrahend.</param>
    /// <param name="c">Minuend of the subtrahend.</param>
    /// <param name="d">Its subtrahend.</param>
    /// <returns>The difference.</returns>
    public static double DifferenceOfDistances(double a, double b, double c, double d)
    {
        double difference = (a - b) - (c - d);
        double lost = Lost(a, b) - Lost(c, d);
        return double.IsFinite(lost) ? difference + lost : difference;
    }

    /// <summary>The coefficients of the gradient, which is NaN throughout where the row has none.</summary>
    /// <param name="scale">A factor on everything.</param>
    /// <param name="labelSlope"><see cref="SlopeOf"/> the label's logit.</param>
    /// <returns>The coefficients.</returns>
    public GradientCoefficients Gradient(double scale, double labelSlope)
    {
        // dz/dx = s*(1 - tanh²(s*x/c)), and s without a softcap.
        scale *= _objective.LogitScale;
        double eps = _objective.LabelSmoothing;
        double klWeight = _objective.KlWeight;
        double weight = _objective.NllWeight * Weight;
        bool forward = _use == ReferenceUse.ForwardKl;

        // The smoothed part of the loss is -eps/V * sum over unmasked i of lp_i, so its lse carries eps times the unmasked share.
        double share = eps == 0 ? 1 : 1 - eps + (eps * _state.Unmasked);
        double zLoss = _objective.ZLossWeight == 0 ? 0 : 2 * _objective.ZLossWeight * LogSumExp;
        double others = 0;
        double reference = 0;
        if (_anchored && _tail is { } tail)
        {
            others = klWeight * tail.Slope(Kl);
        }
        else if (_anchored && _use is ReferenceUse.ForwardKl or ReferenceUse.ReverseKl)
        {
            // Reverse: lp - lq - kl is a difference less the mean of the differences, whatever they are measured from.
            others = klWeight * (forward ? 1 : -(_factor * (_state.Cross / _state.Sum)));
            reference = forward ? -klWeight : klWeight;
        }

        double estimated = _anchored ? klWeight * _estimatorSlope : 0;
        double smoothing = weight * eps / _vocabulary;
        double nll = (weight * share) - estimated;
        bool exists = double.IsFinite(LogSumExp) && (!_anchored || _tail is not null || double.IsFinite(ReferenceLogSumExp))
            && double.IsFinite(scale) && double.IsFinite(nll) && double.IsFinite(others + zLoss) && double.IsFinite(smoothing);
        if (!exists)
        {
            return new GradientCoefficients(double.NaN, double.NaN, double.NaN, double.NaN);
        }

        return new GradientCoefficients(
            scale * (nll + others + zLoss),
            scale * reference,
            scale * smoothing,
            scale * labelSlope * (AtLabel(share, weight, estimated, smoothing) + (zLoss * _probability) + KlAtLabel(others, reference)));
    }

    /// <summary>
    /// The gradient at an entry of a top-k reference that is not the label: short of label smoothing, <see cref="GradientCoefficients.Policy"/>
    /// times its probability with the divergence's own part in place of the others'.
    /// </summary>
    /// <param name="coefficients">The row's.</param>
    /// <param name="scale">The factor that <see cref="Gradient"/> was given.</param>
    /// <param name="y">The policy's y.</param>
    /// <param name="logReference">lq of the entry.</param>
    /// <returns>The gradient short of the slope of a softcap.</returns>
    public double AtEntry(in GradientCoefficients coefficients, double scale, double y, double logReference)
    {
        double logProbability = (_factor * (y - _state.Max)) - _logSum;
        double probability = Math.Exp(logProbability);
        double gradient = coefficients.Policy * probability;
        if (_anchored && _tail is { } tail)
        {
            double divergence = tail.AtEntry(probability, logProbability, logReference, Kl) - Times(probability, tail.Slope(Kl));
            gradient += scale * _objective.LogitScale * _objective.KlWeight * divergence;
        }

        return gradient - (double.IsNegativeInfinity(y) ? 0 : coefficients.Smoothing);
    }

    /// <summary>
    /// The negative log-likelihood's gradient at the label, and an estimated divergence's, where the target is taken from the probability
    /// before anything is rounded: <c>w*(share*p - (1-eps) - eps/V)</c> is <c>-w*share*(1-p)</c> and a rest that is 0 without smoothing.
    /// </summary>
    private double AtLabel(double share, double weight, double estimated, double smoothing)
    {
        double nll = double.IsNegativeInfinity(_state.Label) ? (weight * share * _probability) - (weight * (1 - _objective.LabelSmoothing))
            : (-weight * share * _complement) + (smoothing == 0 ? 0 : smoothing * ((_state.Unmasked * _vocabulary) - 1));
        return nll + (estimated == 0 ? 0 : estimated * _complement);
    }

    /// <summary>The divergence's gradient at the label.</summary>
    private double KlAtLabel(double others, double reference)
    {
        if (_anchored && _tail is { } tail && !double.IsNaN(_state.ReferenceLabel))
        {
            return _objective.KlWeight * tail.AtEntry(_probability, LogProbability, _factor * _state.ReferenceLabel, Kl);
        }

        double gradient = Times(_probability, others);
        if (reference != 0)
        {
            gradient += _use == ReferenceUse.ForwardKl
                ? reference * Math.Exp(_factor * (_state.ReferenceLabel - _state.ReferenceMax)) / _state.ReferenceSum
                : Times(
                    _probability,
                    reference * _factor * DifferenceOfDistances(_state.Label, _state.Max, _state.ReferenceLabel, _state.Center));
        }

        return gradient;
    }

    /// <summary>An estimate of the divergence from the label alone, with d = lq[y] - lp[y], and its derivative with respect to lp[y].</summary>
    private static (double Kl, double Slope) Estimate(KlEstimator estimator, double d) => estimator switch
    {
        KlEstimator.K1 => (-d, 1),
        KlEstimator.K2 => (d * d / 2, -d),
        _ => (Math.Max(0, ExpMinusOne(d) - d), -ExpMinusOne(d)),
    };

    /// <summary>The weight w of a token, within its bounds.</summary>
    /// <param name="objective">The objective.</param>
    /// <param name="logProbability">lp[y].</param>
    /// <param name="complement">1 - p[y].</param>
    /// <param name="logRatio">log(p[y]/q[y]).</param>
    /// <param name="entropy">H.</param>
    /// <returns>The weight.</returns>
    public static double WeightOf(LossObjective objective, double logProbability, double complement, double logRatio, double entropy) =>
        Bounded(objective, objective.Weighting switch
        {
            // p^0 is 1 even where p is 0.
            TokenWeighting.Probability =>
                (objective.WeightExponent == 0 ? 1 : Math.Exp(objective.WeightExponent * logProbability))
                * Power(complement, objective.WeightComplementExponent),
            TokenWeighting.ImportanceRatio => Math.Exp(logRatio),
            TokenWeighting.Entropy => Power(entropy / objective.EntropyScale, objective.WeightExponent),
            _ => 1,
        });

    private static double Bounded(LossObjective objective, double weight) =>
        objective.WeightBound == WeightBound.Clamp ? Math.Clamp(weight, objective.WeightMin, objective.WeightMax)
        : weight < objective.WeightMin || weight > objective.WeightMax ? 0 : weight;

    private static double Power(double value, double exponent) => exponent == 0 ? 1 : exponent == 1 ? value : Math.Pow(value, exponent);

    /// <summary>e^x - 1, without losing the digits of a small x.</summary>
    private static double ExpMinusOne(double x) => Math.Abs(x) > 0.5 ? Math.Exp(x) - 1 : 2 * Math.Sinh(x / 2) * Math.Exp(x / 2);

    /// <summary>By how much the rounded difference of two numbers is off (Knuth).</summary>
    private static double Lost(double a, double b)
    {
        double difference = a - b;
        double back = difference - a;
        return (a - (difference - back)) - (b + back);
    }

    /// <summary>A product in which a factor of exactly 0 is a term that is switched off.</summary>
    /// <param name="factor">The factor.</param>
    /// <param name="value">What it is of.</param>
    /// <returns>The product, or 0.</returns>
    public static double Times(double factor, double value) => factor == 0 ? 0 : factor * value;

    /// <summary>
    /// The logarithm of a probability of at least 1/2, as exact as what the others have is: log(1 + x), the logarithm of the rounded sum, corrected
    /// for its rounding (Kahan).
    /// </summary>
    /// <param name="others">x, the probability of the others as a multiple of it.</param>
    /// <returns>-log(1 + x).</returns>
    public static double LogOfCertain(double others)
    {
        double sum = 1 + others;
        return sum == 1 ? -others : -Math.Log(sum) * (others / (sum - 1));
    }
}

/// <summary>
/// The gradient of a row with respect to its logits is, but for the label's own element, which is <paramref name="AtLabel"/>,
/// <c>Policy*p_i + Reference*q_i - Smoothing</c> (Forward) or <c>p_i*(Policy + Reference*d_i) - Smoothing</c> (Reverse), where d_i is
/// <c>factor*((y_i - m_p) - (yr_i - c))</c> and a masked logit has no Smoothing; times <c>1 - tanh²</c> under a softcap.
/// </summary>
/// <param name="Policy">NaN where the row has no gradient.</param>
/// <param name="Reference">0 where the loss has no divergence.</param>
/// <param name="Smoothing">0 without label smoothing.</param>
/// <param name="AtLabel">The element at the label, complete.</param>
internal readonly record struct GradientCoefficients(double Policy, double Reference, double Smoothing, double AtLabel);
