namespace Asft.Interop;

/// <summary>
/// The directory of a reference cache, and every operation on files that a cache needs. Files are named relative to it. The virtual
/// ones are what the system may refuse; tests let each of them fail.
/// </summary>
internal class CacheDirectory
{
    private const string LockName = "writing.lock";

    /// <param name="directory">Where it is.</param>
    /// <exception cref="ArgumentException">That is null or empty.</exception>
    public CacheDirectory(string directory)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        Path = directory;
    }

    /// <summary>Where it is.</summary>
    public string Path { get; }

    /// <summary>Path of a file.</summary>
    public string PathOf(string name) => System.IO.Path.Combine(Path, name);

    /// <summary>
    /// Writes a file under another name, down to the disk, and only then gives it its own: it is there whole or not at all.
    /// </summary>
    public void WriteWhole(string name, Action<FileStream> write)
    {
        string partial = name + ".partial";
        Delete(partial);
        using (FileStream file = OpenNew(partial))
        {
            write(file);
            file.Flush(flushToDisk: true);
        }

        Rename(partial, name);
    }

    /// <summary>Makes the directory, if it is not there.</summary>
    public virtual void Make() => Directory.CreateDirectory(Path);

    /// <summary>
    /// Keeps other writers out until the result is disposed. The file stays: if it were deleted, a writer that had opened it just
    /// before would lock a file that no other one sees.
    /// </summary>
    /// <exception cref="IOException">Another writer is at work.</exception>
    public virtual IDisposable Lock() => new FileStream(PathOf(LockName), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 0);

    /// <summary>Bytes of a file; null if it is not there. It is not opened.</summary>
    /// <exception cref="InvalidDataException">It is a directory.</exception>
    public virtual long? LengthOf(string name)
    {
        var file = new FileInfo(PathOf(name));
        if (file.LinkTarget is not null && file.ResolveLinkTarget(returnFinalTarget: true) is FileInfo target)
        {
            file = target;
        }

        return Directory.Exists(file.FullName) ? throw Damaged.File(PathOf(name), $"it is a directory")
            : file.Exists ? file.Length
            : null;
    }

    /// <summary>
    /// Opens a file for reading, as any number of processes may at once, on a disk that cannot be written too.
    /// </summary>
    /// <exception cref="InvalidDataException">It has no bytes, or is a pipe or a device.</exception>
    public virtual FileStream OpenRead(string name) =>
        // The system gives pipes and devices a length of 0. They are not opened: that might wait for ever.
        LengthOf(name) == 0
            ? throw Damaged.File(PathOf(name), $"it is empty or no regular file")
            : new FileStream(PathOf(name), FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, 0);

    /// <summary>Makes a file that was not there, to be written and read back.</summary>
    protected virtual FileStream OpenNew(string name) => new(PathOf(name), FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None);

    /// <summary>Deletes a file, if it is there.</summary>
    protected virtual void Delete(string name) => File.Delete(PathOf(name));

    /// <summary>Gives a file another name, in place of a file that has it.</summary>
    protected virtual void Rename(string from, string to) => File.Move(PathOf(from), PathOf(to), overwrite: true);
}

/// <summary>The one exception for a file that does not hold what it must: it names the file and the reason.</summary>
internal static class Damaged
{
    /// <summary>The exception.</summary>
    /// <param name="path">The file.</param>
    /// <param name="reason">What is wrong with it; its numbers are written the same way in every culture.</param>
    /// <param name="cause">What brought it to light, if that was an exception.</param>
    public static InvalidDataException File(string path, FormattableString reason, Exception? cause = null) =>
        new($"'{path}' is damaged: {Invariant(reason)}.", cause);
}
