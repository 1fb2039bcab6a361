namespace FineTune.Problems;

/// <summary>The lines of a text file as bytes. No line may be longer than a limit, so that a file of something else cannot fill the memory.</summary>
internal static class Utf8Lines
{
    /// <summary>The most bytes that a line may have: far more than a model reads, for lines that hold other things besides.</summary>
    public const int LongestLine = 1 << 20;

    /// <summary>
    /// Each line without its end, with its number, from 1; a byte order mark is left out. The memory holds the line until the next is asked for.
    /// </summary>
    /// <exception cref="UserErrorException">A line is too long.</exception>
    public static IEnumerable<(int Number, ReadOnlyMemory<byte> Line)> Read(Stream stream, string name)
    {
        byte[] buffer = new byte[LongestLine + 1];
        int start = 0;
        int end = 0;
        int number = 1;
        while (true)
        {
            int length = buffer.AsSpan(start, end - start).IndexOf((byte)'\n');
            if (length < 0)
            {
                buffer.AsSpan(start, end - start).CopyTo(buffer);
                (start, end) = (0, end - start);
                if (end > LongestLine)
                {
                    throw new UserErrorException($"{name}, line {number}: the line has more than {LongestLine} bytes.");
                }

                int read = stream.Read(buffer, end, buffer.Length - end);
                end += read;
                if (read > 0)
                {
                    continue;
                }

                length = end;
            }

            ReadOnlyMemory<byte> line = buffer.AsMemory(start, length);
            yield return (number, number == 1 && line.Span.StartsWith("\uFEFF"u8) ? line[3..] : line);
            start += length + 1;
            number++;
            if (start > end)
            {
                yield break;
            }
        }
    }
}
