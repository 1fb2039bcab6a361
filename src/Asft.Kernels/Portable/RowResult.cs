using Asft.Kernels.Cpu;
using Asft.Kernels.Portable.OnDevice;

namespace Asft.Kernels.Portable;

/// <summary>
/// What follows on the host, in double, from the sums of a row: its outputs, and what the device needs for its gradient.
/// </summary>
internal readonly unsafe struct RowResult
{
    private readonly RowState _state;
    private readonly double _factor;
    private readonly double _unmasked;
    private readonly double _label;
    private readonly double _referenceLabel;
    private readonly double _weight;
    private readonly double _meanLogProbability;
    private readonly double _kl;
    private readonly double _lse;
    private readonly double _referenceLse;

    /// <summary>Evaluates a row.</summary>
    /// <param name="problem">The problem.</param>
    /// <param name="row">Which row.</param>
    /// <param name="sums">Its sums.</param>
    /// <param name="use">What the sums know of the reference.</param>
    /// <param name="weight">The weight w where it is known already.</param>
    public RowResult(in TokenProblem problem, long row, in RowSums<double> sums, ReferenceUse use, double? weight)
    {
        LossObjective objective = problem.Objective;
        bool reads = use != ReferenceUse.None;
        _factor = FactorOf(objective);
        _state = new RowState(
            sums.Sum == 0 ? 0 : _factor * sums.Max,
            sums.Sum,
            sums.ReferenceSum == 0 ? 0 : _factor * sums.ReferenceMax,
            sums.ReferenceSum,
            _factor * sums.Cross);
        _lse = _state.LogSumExp;
        _referenceLse = reads ? _state.ReferenceLogSumExp : 0;
        _kl = use is ReferenceUse.ForwardKl or ReferenceUse.ReverseKl ? _state.Kl(objective.KlDirection) : 0;
        _label = LogitAt(problem, problem.Logits, row);
        _referenceLabel = reads ? LogitAt(problem, problem.Reference, row) : 0;
        double logSum = Math.Log(_state.Sum);
        LogProbability = _label - _state.Max - logSum;
        _weight = weight ?? TokenMath.Weight(objective, LogProbability, _referenceLabel - _referenceLse);
        _unmasked = sums.Unmasked;
        _meanLogProbability = ((_factor * sums.Distance) - (_unmasked * logSum)) / problem.Vocabulary;
    }

    private double LogProbability { get; }

    /// <summary>z = factor*y, where y is the logit or, under a softcap, a hyperbolic tangent.</summary>
    /// <param name="objective">The objective.</param>
    /// <returns>The scale, or the softcap.</returns>
    public static double FactorOf(LossObjective objective) => objective.LogitSoftcap > 0 ? objective.LogitSoftcap : objective.LogitScale;

    /// <summary>Writes the outputs of the row.</summary>
    /// <param name="objective">The objective.</param>
    /// <param name="outputs">Where they go.</param>
    /// <param name="type">Their type.</param>
    /// <param name="row">Which row.</param>
    /// <param name="predicted">Index of the largest logit.</param>
    public void Write(LossObjective objective, in TokenOutputs outputs, ElementType type, long row, long predicted)
    {
        double loss = TokenMath.Loss(
            objective, _weight, LogProbability, objective.LabelSmoothing > 0 ? _meanLogProbability : 0, _kl, _lse);
        outputs.Write(type, row, loss, LogProbability, _weight, _kl, _lse, _referenceLse, predicted);
    }

    /// <summary>The coefficients of the row's gradient, and its element at the label.</summary>
    /// <param name="objective">The objective.</param>
    /// <param name="sums">The sums that this was made of.</param>
    /// <param name="vocabulary">V.</param>
    /// <param name="scale">A factor on everything.</param>
    /// <returns>The coefficients for the device, and the element, which needs one term more and which the host writes.</returns>
    public (RowGradient<double> Row, double AtLabel) Gradient(
        LossObjective objective, in RowSums<double> sums, long vocabulary, double scale)
    {
        // A softcap's slope is s*(1 - tanh²), and s without one.
        var of = GradientCoefficients.Of(
            objective, scale * objective.LogitScale, _weight, _kl, _lse, _referenceLse, vocabulary, _unmasked);
        bool anchored = objective.KlWeight > 0;
        if (!double.IsFinite(_lse) || (anchored && !double.IsFinite(_referenceLse)) || !of.AreFinite)
        {
            // A row without a distribution, or with an infinite weight or divergence, has no gradient: every element becomes NaN.
            return (new RowGradient<double> { Policy = double.NaN, Reference = double.NaN }, double.NaN);
        }

        bool reverse = anchored && objective.KlDirection == KlDirection.Reverse;
        bool forward = anchored && !reverse;

        double p = Math.Exp(_label - _state.Max) / _state.Sum;
        double q = forward ? Math.Exp(_referenceLabel - _state.ReferenceMax) / _state.ReferenceSum : 0;
        double atLabel = reverse
            ? (p == 0 ? 0 : p * (of.Policy + (of.Reference * (_label - _referenceLabel))))
            : (of.Policy * p) + (forward ? of.Reference * q : 0);
        atLabel -= of.Label + (double.IsNegativeInfinity(_label) ? 0 : of.Smoothing);
        if (objective.LogitSoftcap > 0)
        {
            double tanh = _label / objective.LogitSoftcap;
            atLabel *= 1 - (tanh * tanh);
        }

        var row = new RowGradient<double>
        {
            Max = sums.Max,
            ReferenceMax = sums.ReferenceMax,
            Policy = (of.Policy + (reverse ? of.Reference * (_state.Max - _state.ReferenceMax) : 0)) / _state.Sum,
            Reference = forward ? of.Reference / _state.ReferenceSum : -of.Reference * _factor / _state.Sum,
            Smoothing = of.Smoothing,
        };
        return (row, atLabel);
    }

    private static double LogitAt(in TokenProblem problem, in LogitMatrix matrix, long row) => TokenMath.Transform(
        problem.Objective, ScalarElement.Read(matrix.Row(row), matrix.Type, problem.Labels[row]));
}
