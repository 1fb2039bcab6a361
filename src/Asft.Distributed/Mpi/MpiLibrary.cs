using System.Runtime.InteropServices;

namespace Asft.Distributed.Mpi;

/// <summary>
/// The functions of an MPI library that are needed here. Everything is exchanged as bytes, and added by ourselves, so that of all handles two are
/// enough: the communicator of all ranks, and the type of a byte.
/// </summary>
/// <remarks>
/// A handle is an integer of 32 bits in one ABI and a pointer in the others. Either is passed in a register, of which a function that expects
/// an integer reads the lower half: so one declaration serves all.
/// </remarks>
internal sealed unsafe class MpiLibrary
{
    private readonly delegate* unmanaged<int*, byte***, int, int*, int> _initThread;
    private readonly delegate* unmanaged<int*, int> _initialized;
    private readonly delegate* unmanaged<nint, int*, int> _rank;
    private readonly delegate* unmanaged<nint, int*, int> _size;
    private readonly delegate* unmanaged<void*, int, nint, void*, int, nint, nint, int> _allGather;
    private readonly delegate* unmanaged<void*, int, nint, void*, int, nint, nint, int> _allToAll;
    private readonly delegate* unmanaged<void*, int, nint, int, nint, int> _broadcast;
    private readonly delegate* unmanaged<nint, int> _barrier;
    private readonly delegate* unmanaged<nint, int, int> _abort;
    private readonly delegate* unmanaged<int> _finalize;

    private readonly nint _world;
    private readonly nint _byte;
    private readonly int _serialized;

    private MpiLibrary(nint library, string name, MpiKind kind)
    {
        Name = name;
        (_world, _byte, _serialized) = kind switch
        {
            MpiKind.OpenMpi => (Export("ompi_mpi_comm_world"), Export("ompi_mpi_byte"), 2),
            MpiKind.Mpich => (0x4400_0000, 0x4c00_010d, 2),
            _ => ((nint)0x101, (nint)0x247, 2048),
        };
        _initThread = (delegate* unmanaged<int*, byte***, int, int*, int>)Export("MPI_Init_thread");
        _initialized = (delegate* unmanaged<int*, int>)Export("MPI_Initialized");
        _rank = (delegate* unmanaged<nint, int*, int>)Export("MPI_Comm_rank");
        _size = (delegate* unmanaged<nint, int*, int>)Export("MPI_Comm_size");
        _allGather = (delegate* unmanaged<void*, int, nint, void*, int, nint, nint, int>)Export("MPI_Allgather");
        _allToAll = (delegate* unmanaged<void*, int, nint, void*, int, nint, nint, int>)Export("MPI_Alltoall");
        _broadcast = (delegate* unmanaged<void*, int, nint, int, nint, int>)Export("MPI_Bcast");
        _barrier = (delegate* unmanaged<nint, int>)Export("MPI_Barrier");
        _abort = (delegate* unmanaged<nint, int, int>)Export("MPI_Abort");
        _finalize = (delegate* unmanaged<int>)Export("MPI_Finalize");

        nint Export(string function) => NativeLibrary.GetExport(library, function);
    }

    /// <summary>The library's name or path.</summary>
    public string Name { get; }

    /// <summary>Loads the library of an MPI. Its functions are ours until the process ends.</summary>
    /// <exception cref="DllNotFoundException">It is not there.</exception>
    public static MpiLibrary Load(MpiLauncher launcher)
    {
        LeaveSignalsToDotNet();
        foreach (string name in launcher.Libraries)
        {
            if (NativeLibrary.TryLoad(name, out nint library))
            {
                return new MpiLibrary(library, name, launcher.Kind ?? KindOf(library, name));
            }
        }

        throw new DllNotFoundException(
            $"This process was launched by {(launcher.Kind is { } kind ? $"the MPI {kind}" : "an MPI")}, whose library was not found under the names "
            + $"{string.Join(", ", launcher.Libraries)}. ASFT_MPI may name its path.");
    }

    /// <summary>Starts MPI for several threads, one of them in a collective at a time: a backward pass has a thread of its own on a device.</summary>
    public void Start()
    {
        int begun;
        Check(_initialized(&begun), "MPI_Initialized");
        if (begun != 0)
        {
            throw new InvalidOperationException("MPI runs in this process already, and it can be started once only.");
        }

        int provided;
        Check(_initThread(null, null, _serialized, &provided), "MPI_Init_thread");
        if (provided < _serialized)
        {
            throw new InvalidOperationException(Invariant($"{Name} allows threads at level {provided}; {_serialized} (serialized) is needed."));
        }
    }

    /// <summary>This process among all.</summary>
    public int Rank
    {
        get
        {
            int rank;
            Check(_rank(_world, &rank), "MPI_Comm_rank");
            return rank;
        }
    }

    /// <summary>How many there are.</summary>
    public int Size
    {
        get
        {
            int size;
            Check(_size(_world, &size), "MPI_Comm_size");
            return size;
        }
    }

    /// <summary>Gives every rank the bytes of each.</summary>
    public void AllGather(void* own, void* all, int bytes) => Check(_allGather(own, bytes, _byte, all, bytes, _byte, _world), "MPI_Allgather");

    /// <summary>Gives each rank its part of every other's bytes.</summary>
    /// <param name="own">A part for each rank, in order.</param>
    /// <param name="parts">A part from each rank, in order.</param>
    /// <param name="bytes">Bytes of a part.</param>
    public void AllToAll(void* own, void* parts, int bytes) => Check(_allToAll(own, bytes, _byte, parts, bytes, _byte, _world), "MPI_Alltoall");

    /// <summary>Gives every rank the bytes of one.</summary>
    public void Broadcast(void* data, int bytes, int root) => Check(_broadcast(data, bytes, _byte, root, _world), "MPI_Bcast");

    /// <summary>Waits for every rank.</summary>
    public void Barrier() => Check(_barrier(_world), "MPI_Barrier");

    /// <summary>Ends all ranks.</summary>
    public void Abort() => _abort(_world, 1);

    /// <summary>Ends MPI in this process.</summary>
    public void Stop() => Check(_finalize(), "MPI_Finalize");

    private static MpiKind KindOf(nint library, string name) => NativeLibrary.TryGetExport(library, "ompi_mpi_comm_world", out _) ? MpiKind.OpenMpi
        : Path.GetFileName(name).Contains("mpi_abi", StringComparison.Ordinal) ? MpiKind.StandardAbi : MpiKind.Mpich;

    /// <summary>
    /// Keeps UCX and Open MPI from taking the signals that .NET makes a NullReferenceException of, and lets a rank that waits give way to one that
    /// computes. These are read from the C library's environment, which .NET's own functions do not write to.
    /// </summary>
    private static void LeaveSignalsToDotNet()
    {
        if (OperatingSystem.IsWindows() || !NativeLibrary.TryGetExport(NativeLibrary.GetMainProgramHandle(), "setenv", out nint setenv))
        {
            return;
        }

        Set("UCX_ERROR_SIGNALS\0"u8, "\0"u8, overwrite: 1);
        Set("OMPI_MCA_opal_signal\0"u8, "\0"u8, overwrite: 1);
        Set("OMPI_MCA_mpi_yield_when_idle\0"u8, "1\0"u8, overwrite: 0);

        void Set(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, int overwrite)
        {
            fixed (byte* variable = name, text = value)
            {
                _ = ((delegate* unmanaged<byte*, byte*, int, int>)setenv)(variable, text, overwrite);
            }
        }
    }

    /// <summary>MPI ends the job at an error itself; this is for one that is told to return them.</summary>
    private static void Check(int result, string function)
    {
        if (result != 0)
        {
            throw new InvalidOperationException(Invariant($"{function} failed with error {result}."));
        }
    }
}
