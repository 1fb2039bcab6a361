namespace FineTune.Checkpoint;

/// <summary>How fast each pair of channels of a head turns with the position, and how that was stretched for longer contexts.</summary>
internal abstract record RotaryScaling
{
    /// <summary>As it was trained.</summary>
    public static RotaryScaling None { get; } = new Unscaled();

    /// <summary>Angles per position, one for each pair of channels.</summary>
    /// <param name="theta">The base of the wavelengths.</param>
    /// <param name="channels">Channels of a head, an even number.</param>
    public double[] Frequencies(double theta, int channels) =>
        [.. Enumerable.Range(0, channels / 2).Select(pair => Scale(Math.Pow(theta, -2.0 * pair / channels)))];

    /// <summary>What becomes of a frequency.</summary>
    protected abstract double Scale(double frequency);

    /// <summary>Every position counts as a fraction of one.</summary>
    public sealed record Linear(double Factor) : RotaryScaling
    {
        protected override double Scale(double frequency) => frequency / Factor;
    }

    /// <summary>
    /// Llama 3.1's: waves that are long beside the original context are stretched, those that are short are not, and between the two the change
    /// is gradual.
    /// </summary>
    public sealed record Llama3(double Factor, double LowFrequencyFactor, double HighFrequencyFactor, double OriginalContext) : RotaryScaling
    {
        protected override double Scale(double frequency)
        {
            double wavesInContext = OriginalContext * frequency / (2 * Math.PI);
            double kept = Math.Clamp((wavesInContext - LowFrequencyFactor) / (HighFrequencyFactor - LowFrequencyFactor), 0, 1);
            return (kept * frequency) + ((1 - kept) * frequency / Factor);
        }
    }

    private sealed record Unscaled : RotaryScaling
    {
        protected override double Scale(double frequency) => frequency;
    }
}
