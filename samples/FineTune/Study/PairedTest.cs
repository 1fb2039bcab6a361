namespace FineTune.Study;

/// <summary>Student's paired test, two-sided: whether two numbers, measured on the same seeds, differ.</summary>
/// <param name="Mean">Mean of the differences.</param>
/// <param name="Half">Half the width of the interval that holds the true mean with probability 95 %.</param>
/// <param name="P">How probable so large a mean is if there is no difference.</param>
internal sealed record PairedTest(double Mean, double Half, double P)
{
    private const double Level = 0.05;

    /// <summary>Whether the difference is told from none.</summary>
    public bool Significant => P < Level;

    /// <summary>Tests differences, two at least.</summary>
    public static PairedTest Of(IReadOnlyList<double> differences)
    {
        int count = differences.Count;
        double mean = differences.Average();
        double error = Spread(differences) / Math.Sqrt(count);
        return error == 0
            ? new PairedTest(mean, 0, mean == 0 ? 1 : 0)
            : new PairedTest(mean, error * Quantile(count - 1), TwoSided(Math.Abs(mean) / error, count - 1));
    }

    /// <summary>The sample's standard deviation; 0 of one value.</summary>
    public static double Spread(IReadOnlyList<double> values)
    {
        double mean = values.Average();
        return values.Count < 2 ? 0 : Math.Sqrt(values.Sum(value => (value - mean) * (value - mean)) / (values.Count - 1));
    }

    /// <summary>Probability of a larger absolute value than t in Student's distribution (Abramowitz and Stegun 26.7.3 and 26.7.4).</summary>
    internal static double TwoSided(double t, int degrees)
    {
        double angle = Math.Atan(t / Math.Sqrt(degrees));
        double cosine = Math.Cos(angle);
        bool odd = degrees % 2 == 1;
        double term = odd ? cosine : 1;
        double sum = degrees == 1 ? 0 : term;
        for (int k = odd ? 3 : 2; k < degrees; k += 2)
        {
            term *= cosine * cosine * (k - 1) / k;
            sum += term;
        }

        double within = odd ? 2 / Math.PI * (angle + (Math.Sin(angle) * sum)) : Math.Sin(angle) * sum;
        return Math.Max(0, 1 - within);
    }

    /// <summary>The t that <see cref="TwoSided"/> gives the level for, by bisection.</summary>
    internal static double Quantile(int degrees)
    {
        double low = 0;
        double high = 100;
        for (int step = 0; step < 60; step++)
        {
            double middle = (low + high) / 2;
            (low, high) = TwoSided(middle, degrees) > Level ? (middle, high) : (low, middle);
        }

        return low;
    }
}
