using Asft.Interop;
using FineTune.Checkpoint;

namespace FineTune.Tuning;

/// <summary>What is kept of a reference at each token.</summary>
/// <param name="Name">One of the constants, as the command line has it.</param>
/// <param name="K">Entries of the top-k form.</param>
internal sealed record CacheForm(string Name, int K = 0)
{
    public const string Hidden = "hidden";
    public const string Labels = "labels";
    public const string TopK = "top-k";

    /// <summary>The library's form.</summary>
    public ReferenceCacheForm Of(ModelConfig config) => Name switch
    {
        Hidden => ReferenceCacheForm.Hidden(config.Width),
        Labels => ReferenceCacheForm.LabelLogProbabilities,
        _ => ReferenceCacheForm.TopK(K),
    };
}
