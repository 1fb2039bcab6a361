namespace Asft.Bench.Checks;

/// <summary>A number that must not pass a bound.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Bound">The bound.</param>
/// <param name="IsLeast">Whether the number must be at least the bound, instead of at most.</param>
/// <param name="Unit">What it is counted in.</param>
/// <param name="Attempts">How often it is measured before it counts as missed: more than once for times, which a busy machine disturbs.</param>
/// <param name="Measure">Measures it.</param>
public sealed record Check(string Name, double Bound, bool IsLeast, string Unit, int Attempts, Func<double> Measure)
{
    /// <summary>Measures until the bound holds or the attempts are used up.</summary>
    /// <returns>The best that was measured, and whether it is on the right side; NaN never is.</returns>
    public (double Measured, bool Passed) Judge()
    {
        double best = double.NaN;
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            double measured = Measure();
            best = double.IsNaN(best) ? measured : IsLeast ? Math.Max(best, measured) : Math.Min(best, measured);
            if (IsLeast ? best >= Bound : best <= Bound)
            {
                return (best, true);
            }
        }

        return (best, false);
    }
}
