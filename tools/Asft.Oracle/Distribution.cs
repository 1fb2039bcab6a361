namespace Asft.Oracle;

/// <summary>softmax of a row of logits, and its logarithm.</summary>
internal sealed class Distribution
{
    private readonly Real?[] _logs;

    /// <summary>Computes it.</summary>
    /// <param name="logits">The logits z, scaled and capped; null for one masked with -inf.</param>
    public Distribution(IReadOnlyList<Real?> logits)
    {
        // Measured from the largest logit, whose term is 1, so that small sums lose nothing. A log-probability has 50 - d digits after
        // its point beside a largest logit of 10^d.
        Real max = logits.Where(logit => logit is not null).Select(logit => logit!.Value).Aggregate(Real.Max);
        Real[] terms = [.. logits.Select(logit => logit is { } value ? RealMath.Exp(value - max) : Real.Zero)];
        Real sum = terms.Aggregate((a, b) => a + b);
        Real logSum = RealMath.Log(sum);
        LogSumExp = max + logSum;
        _logs = [.. logits.Select(logit => logit - LogSumExp)];
        Probabilities = [.. _logs.Select(log => log is { } value ? RealMath.Exp(value) : Real.Zero)];
    }

    /// <summary>log of the sum of e^z.</summary>
    public Real LogSumExp { get; }

    /// <summary>p; 0 for a masked logit.</summary>
    public IReadOnlyList<Real> Probabilities { get; }

    /// <summary>Number of logits.</summary>
    public int Count => _logs.Length;

    /// <summary>Number of logits that are not masked.</summary>
    public int Unmasked => _logs.Count(log => log is not null);

    /// <summary>-sum p log p.</summary>
    public Real Entropy => Sum(i => -Probabilities[i] * Log(i));

    /// <summary>Whether the logit is -inf.</summary>
    public bool IsMasked(int i) => _logs[i] is null;

    /// <summary>log p of an entry that is not masked.</summary>
    public Real Log(int i) => _logs[i] ?? throw new OracleException($"Entry {i} is masked: its log-probability is no real number.");

    /// <summary>The sum of something over the entries that are not masked.</summary>
    public Real Sum(Func<int, Real> of) =>
        Enumerable.Range(0, Count).Where(i => !IsMasked(i)).Aggregate(Real.Zero, (sum, i) => sum + of(i));
}
