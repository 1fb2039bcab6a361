namespace Asft.Kernels;

/// <summary>
/// The divergence from a reference of which the K most likely entries are known: over these, and over everything else as one entry, whose
/// probabilities are p_t and q_t. By the log-sum inequality it is a lower bound of the whole divergence, and never negative.
/// </summary>
internal readonly struct TopKTail
{
    private readonly bool _forward;
    private readonly double _policy;
    private readonly double _reference;
    private readonly double _logRatio;

    /// <summary>Finds the rest.</summary>
    /// <param name="state">All of the row; the reference's sum is over its entries, from 0, and need not be 1.</param>
    /// <param name="use">The direction.</param>
    public TopKTail(in RowState state, ReferenceUse use)
    {
        _forward = use == ReferenceUse.ForwardKl;
        _policy = state.TailSum / state.Sum;
        _reference = ReferenceOf(state.ReferenceSum, _policy);

        // A rest without the mass that its term is weighted with has no term.
        _logRatio = (_forward ? _reference : _policy) == 0 ? 0 : Math.Log(_policy) - Math.Log(_reference);
    }

    /// <summary>
    /// What the reference has outside of its entries. Where the policy has nothing at all there, as where every logit is an entry, what rounding
    /// has left of 1 is no mass that would make the divergence infinite.
    /// </summary>
    /// <param name="sum">The probabilities of its entries.</param>
    /// <param name="policy">What the policy has outside of them.</param>
    public static double ReferenceOf(double sum, double policy)
    {
        const double Rounding = 1e-6;
        double rest = Math.Max(0, 1 - sum);
        return policy == 0 && rest < Rounding ? 0 : rest;
    }

    /// <summary>The divergence.</summary>
    /// <param name="state">All of the row.</param>
    /// <param name="factor">z = factor*y.</param>
    /// <param name="logSum">log S_p.</param>
    public double Kl(in RowState state, double factor, double logSum) => _forward
        ? (factor * state.Cross) + (state.ReferenceSum * logSum) - (_reference * _logRatio)
        : (factor * (state.Cross / state.Sum)) - ((1 - _policy) * logSum) + (_policy * _logRatio);

    /// <summary>What a logit outside of the entries has in the gradient of the divergence, by its probability.</summary>
    /// <param name="kl">The divergence.</param>
    public double Slope(double kl) => !_forward ? _logRatio - kl : _policy == 0 ? 0 : 1 - (_reference / _policy);

    /// <summary>The gradient of the divergence at an entry.</summary>
    /// <param name="probability">The policy's.</param>
    /// <param name="log">Its logarithm.</param>
    /// <param name="logReference">The reference's.</param>
    /// <param name="kl">The divergence.</param>
    public double AtEntry(double probability, double log, double logReference, double kl) => _forward
        ? probability - Math.Exp(logReference)
        : probability == 0 ? 0 : probability * (log - logReference - kl);
}
