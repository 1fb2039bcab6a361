namespace FineTune.Tuning;

/// <summary>A rate that rises from 0 to its peak, and falls along a cosine to a tenth of it; it follows from the step alone.</summary>
/// <param name="Peak">The highest rate.</param>
/// <param name="WarmUp">Steps of the rise.</param>
/// <param name="Steps">All steps.</param>
internal sealed record LearningRate(double Peak, int WarmUp, int Steps)
{
    private const double Floor = 0.1;

    /// <summary>The rate of a step, from 0.</summary>
    public double At(int step)
    {
        if (step < WarmUp)
        {
            return Peak * (step + 1) / WarmUp;
        }

        double done = (double)(step - WarmUp) / Math.Max(1, Steps - WarmUp);
        return Peak * (Floor + ((1 - Floor) * 0.5 * (1 + Math.Cos(Math.PI * done))));
    }
}
