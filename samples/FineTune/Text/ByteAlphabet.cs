namespace FineTune.Text;

/// <summary>
/// GPT-2's way to write bytes as letters in <c>tokenizer.json</c>: printable Latin-1 characters stand for themselves, and the other bytes, in
/// order, for the letters from U+0100.
/// </summary>
internal static class ByteAlphabet
{
    private const int FirstOther = 0x100;

    private static readonly char[] s_letters = Letters();
    private static readonly Dictionary<char, byte> s_bytes = s_letters.Select((letter, value) => (letter, value))
        .ToDictionary(pair => pair.letter, pair => (byte)pair.value);

    public static char Letter(byte value) => s_letters[value];

    /// <summary>The bytes that <paramref name="token"/> is written for; null if it has a character that stands for none.</summary>
    public static byte[]? Bytes(string token)
    {
        byte[] bytes = new byte[token.Length];
        for (int index = 0; index < bytes.Length; index++)
        {
            if (!s_bytes.TryGetValue(token[index], out bytes[index]))
            {
                return null;
            }
        }

        return bytes;
    }

    private static char[] Letters()
    {
        char[] letters = new char[256];
        int others = 0;
        for (int value = 0; value < letters.Length; value++)
        {
            bool printable = value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            letters[value] = (char)(printable ? value : FirstOther + others++);
        }

        return letters;
    }
}
