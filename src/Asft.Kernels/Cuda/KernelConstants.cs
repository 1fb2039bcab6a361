namespace Asft.Kernels.Cuda;

/// <summary>
/// What the launch code and the kernels have to agree on. This is the one source: <c>./build.sh kernels</c> writes kernels/constants.cuh from
/// it, where every constant has the name that it has here.
/// </summary>
internal static class KernelConstants
{
    /// <summary>Threads of a warp.</summary>
    public const int WarpSize = 32;

    /// <summary>Threads that mostly work on a row, and the most in float64, where a thread takes the registers of two.</summary>
    public const int RowThreads = 512;

    /// <summary>Threads that work on a row so long that a cache would not hold as many rows as there would be blocks.</summary>
    public const int LongRowThreads = 1024;

    /// <summary>Threads of a block of "combine", of which each warp takes a row and each lane a part of it.</summary>
    public const int CombineThreads = 128;

    /// <summary>Threads of a block of "merge" and "finish", of which each takes the state of a row.</summary>
    public const int StateThreads = 128;

    /// <summary>Threads of the one block of "count" and "total".</summary>
    public const int ReductionThreads = 512;

    /// <summary>
    /// Above this factor of a row's loss or gradient the rounding of a sum in float32 may show: such a row is summed in float64.
    /// </summary>
    public const int LargeFactor = 8;

    /// <summary>Room for what a part of a row, or a row for its gradient, leaves in memory, in bytes.</summary>
    public const int RecordBytes = 112;

    /// <summary>State of a fault report that a thread has begun to write.</summary>
    public const int FaultClaimed = 1;

    /// <summary>State of a fault report that is whole.</summary>
    public const int FaultReported = 2;

    /// <summary>Logits of 16 bits that a thread takes at a time.</summary>
    public const int HalfChunk = 16;

    /// <summary>The same under a softcap.</summary>
    public const int HalfCappedChunk = 16;

    /// <summary>The same in the general kernels, which need registers for more.</summary>
    public const int HalfGeneralChunk = 8;

    /// <summary>Logits of 32 bits that a thread takes at a time.</summary>
    public const int Float32Chunk = 8;

    /// <summary>The same under a softcap.</summary>
    public const int Float32CappedChunk = 8;

    /// <summary>The same in the general kernels.</summary>
    public const int Float32GeneralChunk = 4;

    /// <summary>Logits of 64 bits that a thread takes at a time, in all kernels.</summary>
    public const int Float64Chunk = 2;
}
