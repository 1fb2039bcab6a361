using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>The bytes that the blocks of a pass may take.</summary>
internal readonly record struct WorkspaceBudget
{
    /// <summary>The least default in host memory, where the products of a small head already run well in it.</summary>
    private const long HostDefault = 64 << 20;

    /// <summary>The default in host memory is this part of the memory that the head's weight takes.</summary>
    private const long HostShareOfWeight = 8;

    /// <summary>The least default on a device.</summary>
    private const long DeviceDefault = 512 << 20;

    /// <summary>
    /// Rows that a device's default has room for: each block reads and writes the whole gradient of the weight, which takes as long as the product
    /// that is added to it where the block has a thousand rows.
    /// </summary>
    private const long DeviceRows = 1024;

    /// <summary>A device's default is at most this part of what was free on it.</summary>
    private const long DeviceShareOfFree = 16;

    private readonly long _rows;
    private readonly long _most;

    private WorkspaceBudget(long bytes, long rows, long most)
    {
        Bytes = bytes;
        _rows = rows;
        _most = most;
    }

    /// <summary>The bytes before it is known what a row takes.</summary>
    public long Bytes { get; }

    /// <summary>What the caller says, or the default for a head.</summary>
    public static WorkspaceBudget Of(LinearLossOptions options, Tensor weight)
    {
        if (options.WorkspaceBytes is long asked)
        {
            return new WorkspaceBudget(asked, 0, asked);
        }

        if (DeviceServices.Current.FreeBytes(weight) is long free)
        {
            long most = free / DeviceShareOfFree;
            return new WorkspaceBudget(Math.Min(DeviceDefault, most), DeviceRows, most);
        }

        long bytes = Math.Max(HostDefault, weight.numel() * weight.element_size() / HostShareOfWeight);
        return new WorkspaceBudget(bytes, 0, bytes);
    }

    /// <summary>How many rows fit, at least one.</summary>
    /// <param name="kept">Bytes that are taken whatever the number of rows.</param>
    /// <param name="rowBytes">Bytes of a row.</param>
    public long Rows(long kept, long rowBytes) =>
        Math.Max(1, (Math.Clamp(kept + (_rows * rowBytes), Bytes, _most) - kept) / rowBytes);
}
