namespace Asft.Interop.Tests.Cache;

/// <summary>What becomes of a file operation.</summary>
public enum Fault
{
    /// <summary>It succeeds.</summary>
    None,

    /// <summary>It fails and has no effect, but that a write leaves half of its bytes, as a disk that is full does.</summary>
    Before,

    /// <summary>It takes effect and yet reports a failure, as a file system on a network may.</summary>
    After,
}

/// <summary>A cache's directory whose operations are counted, and fail when they are told to.</summary>
/// <param name="path">Where it is.</param>
/// <param name="faults">What becomes of the operation with a number.</param>
internal sealed class FaultyDirectory(string path, Func<int, Fault> faults) : CacheDirectory(path)
{
    /// <summary>What was done so far.</summary>
    public List<string> Operations { get; } = [];

    public override void Make() => Do("make", base.Make);

    public override IDisposable Lock()
    {
        IDisposable? held = null;
        try
        {
            Do("lock", () => held = base.Lock());
            return held!;
        }
        catch
        {
            held?.Dispose(); // as the system does with the locks of a process that has ended
            throw;
        }
    }

    public override long? LengthOf(string name)
    {
        long? length = null;
        Do("length", () => length = base.LengthOf(name));
        return length;
    }

    public override FileStream OpenRead(string name)
    {
        base.OpenRead(name).Dispose();
        return Open("open", name, FileMode.Open, FileAccess.Read, FileShare.Read);
    }

    protected override FileStream OpenNew(string name) => Open("new", name, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None);

    protected override void Delete(string name) => Do("delete", () => base.Delete(name));

    protected override void Rename(string from, string to) => Do("rename", () => base.Rename(from, to));

    private File Open(string operation, string name, FileMode mode, FileAccess access, FileShare share)
    {
        File? file = null;
        try
        {
            Do(operation, () => file = new File(this, PathOf(name), mode, access, share));
            return file!;
        }
        catch
        {
            file?.Abandon();
            throw;
        }
    }

    private void Do(string operation, Action act, Action? half = null)
    {
        Fault fault = faults(Operations.Count);
        Operations.Add(operation);
        if (fault != Fault.Before)
        {
            act();
        }
        else
        {
            half?.Invoke();
        }

        if (fault != Fault.None)
        {
            throw new IOException($"injected: {operation}");
        }
    }

    /// <summary>An open file. A stream made from <see cref="FileStream"/> takes spans to the methods of arrays.</summary>
    private sealed class File(FaultyDirectory directory, string path, FileMode mode, FileAccess access, FileShare share)
        : FileStream(path, mode, access, share, bufferSize: 0)
    {
        private bool _abandoned;

        public override int Read(byte[] buffer, int offset, int count)
        {
            int read = 0;
            directory.Do("read", () => read = base.Read(buffer, offset, count));
            return read;
        }

        public override void Write(byte[] buffer, int offset, int count) =>
            directory.Do("write", () => base.Write(buffer, offset, count), () => base.Write(buffer, offset, count / 2));

        // What a test writes does not outlive it, so it need not reach the disk.
        public override void Flush(bool flushToDisk) => directory.Do(flushToDisk ? "flush" : "flush no further than the system", () => base.Flush(false));

        /// <summary>Closes it, which does not fail.</summary>
        public void Abandon()
        {
            _abandoned = true;
            Dispose();
        }

        protected override void Dispose(bool disposing)
        {
            base.Dispose(disposing);
            if (disposing && !_abandoned)
            {
                _abandoned = true;
                directory.Do("close", () => { });
            }
        }
    }
}
