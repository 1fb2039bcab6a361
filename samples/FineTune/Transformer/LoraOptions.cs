namespace FineTune.Transformer;

/// <summary>Low-rank adapters (arXiv 2106.09685).</summary>
/// <param name="Rank">Size of the space between the two factors.</param>
/// <param name="Alpha">The update counts <c>Alpha / Rank</c> times.</param>
/// <param name="Dropout">Share of an adapter's inputs that are left out in training.</param>
/// <param name="Targets">Names of the projections that get one.</param>
internal sealed record LoraOptions(int Rank, double Alpha, double Dropout, IReadOnlyList<string> Targets)
{
    /// <summary>The projections of a layer, all of which can have an adapter.</summary>
    public static IReadOnlyList<string> AllTargets { get; } = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
}
