using Asft.Kernels.Cuda;

namespace Asft.PtxVm.Syntax;

/// <summary>
/// What a token is: a name such as <c>%r1</c>, a dotted word such as <c>.f32</c>, a number, a quoted text or one sign.
/// </summary>
internal enum TokenKind
{
    Name,
    Dotted,
    Number,
    Text,
    Sign,
    End,
}

/// <summary>A token of PTX, and where its text stands.</summary>
internal readonly record struct Token(TokenKind Kind, string Text, int Line, int Start, int End)
{
    public bool Is(string text) => Text == text && Kind != TokenKind.Text;
}

/// <summary>Cuts PTX into tokens.</summary>
internal static class PtxLexer
{
    public static List<Token> Read(string ptx)
    {
        var tokens = new List<Token>();
        var line = 1;
        for (var i = 0; i < ptx.Length;)
        {
            var c = ptx[i];
            if (c == '\n')
            {
                line++;
                i++;
            }
            else if (char.IsWhiteSpace(c) || c == '\0')
            {
                i++;
            }
            else if (c == '/' && i + 1 < ptx.Length && ptx[i + 1] == '/')
            {
                while (i < ptx.Length && ptx[i] != '\n')
                {
                    i++;
                }
            }
            else if (c == '/' && i + 1 < ptx.Length && ptx[i + 1] == '*')
            {
                var end = ptx.IndexOf("*/", i + 2, StringComparison.Ordinal);
                end = end < 0 ? ptx.Length : end + 2;
                line += ptx.AsSpan(i, end - i).Count('\n');
                i = end;
            }
            else
            {
                var end = EndOfToken(ptx, i, line, out var kind);
                tokens.Add(new Token(kind, kind == TokenKind.Text ? ptx[(i + 1)..(end - 1)] : ptx[i..end], line, i, end));
                i = end;
            }
        }

        tokens.Add(new Token(TokenKind.End, "end of text", line, ptx.Length, ptx.Length));
        return tokens;
    }

    private static int EndOfToken(string ptx, int start, int line, out TokenKind kind)
    {
        var i = start + 1;
        switch (ptx[start])
        {
            case var c when char.IsAsciiLetter(c) || c is '_' or '$' or '%':
                kind = TokenKind.Name;
                while (i < ptx.Length && (char.IsAsciiLetterOrDigit(ptx[i]) || ptx[i] is '_' or '$'))
                {
                    i++;
                }

                return i;
            case '.':
                kind = TokenKind.Dotted;
                while (i < ptx.Length && (IsWordPart(ptx[i]) || IsDoubleColon(ptx, i)))
                {
                    i++;
                }

                return i;
            case var c when char.IsAsciiDigit(c):
                kind = TokenKind.Number;
                while (i < ptx.Length && (IsWordPart(ptx[i]) || ptx[i] == '.' || IsSignOfExponent(ptx, start, i)))
                {
                    i++;
                }

                return i;
            case '"':
                kind = TokenKind.Text;
                var end = ptx.IndexOf('"', i);
                return end < 0 ? throw new CudaException($"PTX line {line}: a quoted text does not end.") : end + 1;
            default:
                kind = TokenKind.Sign;
                return i;
        }
    }

    private static char Peek(string ptx, int i) => i < ptx.Length ? ptx[i] : '\0';

    private static bool IsWordPart(char c) => char.IsAsciiLetterOrDigit(c) || c == '_';

    // as in .L1::no_allocate
    private static bool IsDoubleColon(string ptx, int i) => ptx[i] == ':' && (ptx[i - 1] == ':' || Peek(ptx, i + 1) == ':');

    // 1.5e-3, but not 0x1E-3 nor 0f3E000000+4
    private static bool IsSignOfExponent(string ptx, int start, int i)
    {
        var isBits = ptx[start] == '0' && Peek(ptx, start + 1) is 'x' or 'X' or 'f' or 'F' or 'd' or 'D';
        return ptx[i] is '+' or '-' && ptx[i - 1] is 'e' or 'E' && !isBits;
    }
}
