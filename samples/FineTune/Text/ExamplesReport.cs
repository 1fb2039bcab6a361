namespace FineTune.Text;

/// <summary>What became of the lines of a file.</summary>
/// <param name="Lines">How many were read.</param>
/// <param name="Truncated">How many lost the end of their response to the maximum length.</param>
/// <param name="Dropped">How many were left out, because their prompt alone has the maximum length.</param>
/// <param name="TokensCut">Tokens that the truncated ones lost.</param>
/// <param name="Tokens">Tokens of the examples.</param>
/// <param name="Labels">How many of them are learned.</param>
internal sealed record ExamplesReport(int Lines, int Truncated, int Dropped, long TokensCut, long Tokens, long Labels)
{
    /// <summary>A sentence for the screen, with a warning where something was lost.</summary>
    public override string ToString()
    {
        string text = $"{Lines - Dropped} examples of {Tokens} tokens, {Labels} of them labels.";
        string truncated = Truncated == 0 ? "" : $" {Truncated} were truncated, and lost {TokensCut} tokens.";
        return $"{text}{truncated}{(Dropped == 0 ? "" : $" {Dropped} were left out: no room for a response.")}";
    }
}
