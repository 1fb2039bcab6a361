using Asft.Interop;
using FineTune.Text;
using FineTune.Transformer;
using static TorchSharp.torch;

namespace FineTune.Tuning;

/// <summary>Runs a reference on every example once, and keeps what it says.</summary>
internal static class ReferenceMaker
{
    /// <summary>Opens a cache, after making what is missing of it; an interrupted run is continued.</summary>
    /// <param name="folder">Where it is or will be.</param>
    /// <param name="identity">What it is made from.</param>
    /// <param name="reference">The reference.</param>
    /// <param name="examples">All examples.</param>
    /// <param name="form">What is kept.</param>
    /// <param name="options">How it is written; null for the default.</param>
    /// <param name="report">Told before each example that is run: its number.</param>
    public static ReferenceCache OpenOrCreate(
        string folder,
        ReferenceCacheIdentity identity,
        Decoder reference,
        IReadOnlyList<TokenizedExample> examples,
        CacheForm form,
        ReferenceCacheOptions? options = null,
        Action<long>? report = null)
    {
        reference.eval();
        return ReferenceCache.OpenOrCreate(
            folder,
            identity,
            examples.Count,
            form.Of(reference.Config),
            number =>
            {
                report?.Invoke(number);
                return Of(reference, examples[(int)number], form);
            },
            options);
    }

    private static TokenReference Of(Decoder reference, TokenizedExample example, CacheForm form)
    {
        Tensor tokens = tensor(Array.ConvertAll(example.Tokens, token => (long)token));
        Tensor hidden = reference.Hidden(
            tokens.unsqueeze(0), SequenceLayout.Plain(reference.Config, 0, tokens.size(0), reference.HeadWeight)).squeeze(0);
        if (form.Name == CacheForm.Hidden)
        {
            return hidden;
        }

        // Kept with the token that is predicted, as the labels are. The head is applied only where a label is; elsewhere stands what any loss takes.
        int first = Math.Max(1, example.PromptLength);
        int labels = example.Tokens.Length - first;
        bool isLabels = form.Name == CacheForm.Labels;
        Tensor values = isLabels ? zeros(tokens.size(0)) : full([tokens.size(0), form.K], -Math.Log(2.0 * form.K));
        Tensor indices = arange(form.K).expand(tokens.size(0), form.K).contiguous();
        if (labels > 0)
        {
            Tensor logs = nn.functional.linear(hidden.narrow(0, first - 1, labels), reference.HeadWeight).to(ScalarType.Float32).log_softmax(-1);
            if (isLabels)
            {
                values.narrow(0, first, labels).copy_(logs.gather(1, tokens.narrow(0, first, labels).unsqueeze(1)).squeeze(1));
            }
            else
            {
                (Tensor top, Tensor where) = logs.topk(form.K);
                values.narrow(0, first, labels).copy_(top);
                indices.narrow(0, first, labels).copy_(where);
            }
        }

        return isLabels ? TokenReference.LabelLogProbabilities(values) : TokenReference.TopK(indices, values);
    }
}
