namespace FineTune.Report;

/// <summary>A file that is there whole or not at all, however its writing ends: it is written under another name, and then renamed.</summary>
internal static class WholeFile
{
    /// <summary>Writes and deletes as many bytes: after it, the file can be written unless something changes meanwhile.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">Nor may it be.</exception>
    public static void Try(string path, int bytes)
    {
        if (Directory.Exists(path))
        {
            throw new IOException($"'{path}' is a directory");
        }

        WritePartial(path, new byte[bytes]);
        File.Delete(Partial(path));
    }

    /// <summary>Writes the file, or leaves the one that was there.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">Nor may it be.</exception>
    public static void Write(string path, byte[] contents)
    {
        WritePartial(path, contents);
        File.Move(Partial(path), path, overwrite: true);
    }

    private static string Partial(string path) => path + ".partial";

    private static void WritePartial(string path, byte[] contents)
    {
        using var file = new FileStream(Partial(path), FileMode.Create, FileAccess.Write);
        try
        {
            file.Write(contents);
            file.Flush(flushToDisk: true);
        }
        catch
        {
            File.Delete(Partial(path));
            throw;
        }
    }
}
