namespace Asft.Bench.Fitting;

/// <summary><c>y = factor * x^exponent</c>, fitted by least squares of the logarithms.</summary>
/// <param name="Factor">The value at x = 1.</param>
/// <param name="Exponent">1 where y grows as x does.</param>
/// <param name="RSquared">Share of the variance of log y that the fit explains; 1 for two points, or if y does not vary.</param>
/// <param name="Points">How many points.</param>
public sealed record PowerFit(double Factor, double Exponent, double RSquared, int Points)
{
    /// <summary>Fits.</summary>
    /// <param name="points">At least two, with different x; x and y above 0.</param>
    /// <exception cref="ArgumentException">The points are others.</exception>
    public static PowerFit Of(IReadOnlyList<(double X, double Y)> points)
    {
        if (points.FirstOrDefault(point => !(point.X > 0 && point.Y > 0), (1, 1)) is var bad && bad != (1, 1))
        {
            throw new ArgumentException($"points has ({bad.Item1}, {bad.Item2}): x and y must be above 0.", nameof(points));
        }

        if (points.Select(point => point.X).Distinct().Count() < 2)
        {
            throw new ArgumentException($"points has {points.Count} points, but not two different x.", nameof(points));
        }

        (double X, double Y)[] logs = [.. points.Select(point => (Math.Log(point.X), Math.Log(point.Y)))];
        double x = logs.Average(point => point.X);
        double y = logs.Average(point => point.Y);
        double xx = logs.Sum(point => (point.X - x) * (point.X - x));
        double xy = logs.Sum(point => (point.X - x) * (point.Y - y));
        double yy = logs.Sum(point => (point.Y - y) * (point.Y - y));
        double exponent = xy / xx;
        return new PowerFit(Math.Exp(y - (exponent * x)), exponent, yy == 0 ? 1 : xy * xy / (xx * yy), points.Count);
    }

    /// <summary>The fitted value.</summary>
    public double At(double x) => Factor * Math.Pow(x, Exponent);
}
