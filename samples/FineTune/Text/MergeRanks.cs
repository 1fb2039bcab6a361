using System.Diagnostics.CodeAnalysis;

namespace FineTune.Text;

/// <summary>
/// The order in which byte-pair encoding joins, as tiktoken has it: a rank for each token, and of all neighbours whose joint text is a token, those
/// of the lowest rank are joined first. A <c>tokenizer.json</c> has a list of pairs instead, and joins no others.
/// </summary>
/// <remarks>
/// The two give the same tokens if joining a token's own text, alone, ends with a pair that is in the list at the token's place: inside a longer
/// text, a token comes about by the same steps as alone, since what is joined across its ends is never taken apart again. That is checked for every
/// token, so that a vocabulary of another kind is refused, and never encoded differently.
/// </remarks>
internal sealed class MergeRanks
{
    private const int Unlisted = int.MaxValue;

    private readonly Dictionary<string, int> ranks = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> rankOfSpan;
    private readonly List<string> tokens = [];

    /// <param name="vocabulary">The tokens, written in the <see cref="ByteAlphabet"/>.</param>
    /// <param name="merges">The list of pairs.</param>
    /// <param name="wholeFirst">Whether a piece that is a token is not split at all (<c>ignore_merges</c>).</param>
    /// <exception cref="UserErrorException">The two ways would differ; the message says at which token.</exception>
    public MergeRanks(IReadOnlyDictionary<string, int> vocabulary, IReadOnlyList<(string Left, string Right)> merges, bool wholeFirst)
    {
        rankOfSpan = ranks.GetAlternateLookup<ReadOnlySpan<char>>();
        AddBytes(vocabulary);
        Dictionary<(string, string), string> listed = AddMerges(vocabulary, merges);
        if (wholeFirst)
        {
            // No pair gives these tokens, but a piece may be one.
            foreach (string token in vocabulary.Keys.Where(token => !ranks.ContainsKey(token) && ByteAlphabet.Bytes(token) is not null))
            {
                Add(token);
            }
        }

        foreach (string token in tokens.Where(token => token.Length > 1))
        {
            Check(token, listed, wholeFirst);
        }
    }

    /// <summary>The tokens by rank.</summary>
    public IReadOnlyList<string> Tokens => tokens;

    private void Add(string token)
    {
        ranks.Add(token, tokens.Count);
        tokens.Add(token);
    }

    private void AddBytes(IReadOnlyDictionary<string, int> vocabulary)
    {
        for (int value = 0; value <= byte.MaxValue; value++)
        {
            string letter = ByteAlphabet.Letter((byte)value).ToString();
            if (!vocabulary.ContainsKey(letter))
            {
                Refuse($"model.vocab has no token for the byte 0x{value:X2}");
            }

            Add(letter);
        }
    }

    /// <summary>Gives ranks in the order of the list, and returns the pairs that stand where their token has its rank.</summary>
    private Dictionary<(string, string), string> AddMerges(
        IReadOnlyDictionary<string, int> vocabulary, IReadOnlyList<(string Left, string Right)> merges)
    {
        var listed = new Dictionary<(string, string), string>();
        for (int index = 0; index < merges.Count; index++)
        {
            (string left, string right) = merges[index];
            string token = left + right;
            if (!vocabulary.ContainsKey(token))
            {
                Refuse($"merge {index} of model.merges, '{left} {right}', gives no token of model.vocab");
            }

            bool repeated = ranks.TryGetValue(token, out int rank);
            if (!repeated)
            {
                Add(token);
            }

            // A token may have several pairs one after another; a pair further down would have another rank than its token.
            if (!repeated || rank == tokens.Count - 1)
            {
                listed[(left, right)] = token;
            }
        }

        return listed;
    }

    private void Check(string token, Dictionary<(string, string), string> listed, bool wholeFirst)
    {
        List<int> bounds = Join(token);
        bool pair = bounds.Count == 3;
        if (pair ? !listed.ContainsKey((token[..bounds[1]], token[bounds[1]..])) : !wholeFirst)
        {
            Refuse($"model.merges does not lead to the token '{token}' of model.vocab in the way that ranks do");
        }
    }

    /// <summary>Joins the letters of a token until it would be whole; returns where its parts begin, and its end.</summary>
    private List<int> Join(string token)
    {
        List<int> bounds = [.. Enumerable.Range(0, token.Length + 1)];
        while (bounds.Count > 3)
        {
            int best = 0;
            int lowest = Unlisted;
            for (int part = 0; part + 2 < bounds.Count; part++)
            {
                if (rankOfSpan.TryGetValue(token.AsSpan(bounds[part], bounds[part + 2] - bounds[part]), out int rank) && rank < lowest)
                {
                    (best, lowest) = (part, rank);
                }
            }

            if (lowest == Unlisted)
            {
                break;
            }

            bounds.RemoveAt(best + 1);
        }

        return bounds;
    }

    [DoesNotReturn]
    private static void Refuse(string reason) => throw new UserErrorException($"{reason}: byte-pair encoding of this kind is not supported.");
}
