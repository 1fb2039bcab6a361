using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.ML.Tokenizers;

namespace FineTune.Text;

/// <summary>The tokenizer of a checkpoint, as its <c>tokenizer.json</c> describes it: the same tokens that Hugging Face's gives.</summary>
internal sealed class Tokenizer
{
    private const int CachedPieces = 1 << 16;

    private readonly TiktokenTokenizer encoder; // its ids are ranks
    private readonly int[] idOfRank;
    private readonly byte[]?[] bytesOfId;
    private readonly AddedTokenFinder added;
    private readonly bool nfc;

    private Tokenizer(TokenizerFile file, int? endOfText)
    {
        var ranks = new MergeRanks(file.Vocabulary, file.Merges, file.WholeFirst);
        byte[][] bytes = [.. ranks.Tokens.Select(token => ByteAlphabet.Bytes(token)!)];
        using (Stream lines = TiktokenLines(bytes))
        {
            encoder = TiktokenTokenizer.Create(
                lines, new SplittingPreTokenizer([.. file.Patterns.Select(Compile)]), normalizer: null, specialTokens: null, CachedPieces);
        }

        idOfRank = [.. ranks.Tokens.Select(token => file.Vocabulary[token])];
        VocabularySize = 1 + file.Vocabulary.Values.Concat(file.Added.Select(token => token.Id)).Max();
        bytesOfId = new byte[VocabularySize][];
        foreach ((string token, int id) in file.Vocabulary)
        {
            bytesOfId[id] = ByteAlphabet.Bytes(token) ?? Encoding.UTF8.GetBytes(token);
        }

        foreach (AddedToken token in file.Added)
        {
            bytesOfId[token.Id] = Encoding.UTF8.GetBytes(token.Content);
        }

        added = new AddedTokenFinder(file.Added);
        nfc = file.Nfc;
        Prefix = file.Prefix;
        EndOfText = endOfText;
    }

    /// <summary>One more than the highest id. A model may have rows for more.</summary>
    public int VocabularySize { get; }

    /// <summary>The token that ends a response: <c>eos_token</c> in <c>tokenizer_config.json</c>; null where that names none.</summary>
    public int? EndOfText { get; }

    /// <summary>The tokens that stand before every text that no chat template wrote, such as the begin of the text.</summary>
    public IReadOnlyList<int> Prefix { get; }

    /// <summary>Reads <c>tokenizer.json</c>, and <c>tokenizer_config.json</c> where there is one.</summary>
    /// <param name="checkpointFolder">The folder that has them.</param>
    /// <exception cref="UserErrorException">
    /// One of them cannot be read, or asks for something that is not supported; the message names the file and the part.
    /// </exception>
    public static Tokenizer Load(string checkpointFolder)
    {
        string path = Path.Combine(checkpointFolder, "tokenizer.json");
        string? end = TokenizerConfig.Load(checkpointFolder).EndOfText;
        return JsonFile.Read(path, root =>
        {
            TokenizerFile file = TokenizerFile.Parse(root);
            int? endId = end is null ? null : IdOf(end, file)
                ?? throw new UserErrorException($"there is no token '{end}', which is eos_token in tokenizer_config.json.");
            return new Tokenizer(file, endId);
        });
    }

    /// <summary>
    /// The tokens of a text, added tokens that it names included, <see cref="Prefix"/> not. Half a surrogate pair counts as U+FFFD.
    /// </summary>
    public int[] Encode(string text)
    {
        if (text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF'))
        {
            text = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
        }

        var ids = new List<int>();
        int start = 0;
        foreach ((int offset, AddedToken token) in added.Find(text))
        {
            EncodePart(text[start..offset], ids);
            ids.Add(token.Id);
            start = offset + token.Content.Length;
        }

        EncodePart(text[start..], ids);
        return [.. ids];
    }

    /// <summary>The text of tokens, added ones included. Bytes that are no UTF-8 become U+FFFD; an id that stands for nothing gives nothing.</summary>
    public string Decode(ReadOnlySpan<int> tokens)
    {
        var bytes = new List<byte>();
        foreach (int id in tokens)
        {
            if (id >= 0 && id < bytesOfId.Length && bytesOfId[id] is { } part)
            {
                bytes.AddRange(part);
            }
        }

        return Encoding.UTF8.GetString(CollectionsMarshal.AsSpan(bytes));
    }

    private void EncodePart(string text, List<int> ids)
    {
        if (text.Length == 0)
        {
            return;
        }

        foreach (int rank in encoder.EncodeToIds(nfc ? Nfc.Normalize(text) : text))
        {
            ids.Add(idOfRank[rank]);
        }
    }

    private static int? IdOf(string token, TokenizerFile file) =>
        file.Added.FirstOrDefault(added => added.Content == token)?.Id
        ?? (file.Vocabulary.TryGetValue(token, out int id) ? id : null);

    private static Regex Compile(string pattern)
    {
        try
        {
            return new Regex(pattern, RegexOptions.CultureInvariant | RegexOptions.Compiled);
        }
        catch (ArgumentException error)
        {
            throw new UserErrorException($"pre_tokenizer: the pattern {pattern} is not supported ({error.Message})");
        }
    }

    /// <summary>tiktoken's file format, in which the library takes its vocabulary: a line for each token, with its bytes and its rank.</summary>
    private static MemoryStream TiktokenLines(byte[][] tokens)
    {
        var text = new StringBuilder();
        for (int rank = 0; rank < tokens.Length; rank++)
        {
            text.Append(Convert.ToBase64String(tokens[rank])).Append(' ').Append(rank).Append('\n');
        }

        return new MemoryStream(Encoding.ASCII.GetBytes(text.ToString()));
    }
}
