using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>Exchanges of tensors and numbers, whose memory is moved to where the group exchanges any.</summary>
internal static unsafe class GroupMemory
{
    /// <summary>Gives every rank the numbers of each.</summary>
    public static long[][] Gather(IProcessGroup group, long[] own)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor all = Gather(group, tensor(own)).cpu();
        long[] values = all.data<long>().ToArray();
        return [.. Enumerable.Range(0, group.Size).Select(rank => values[(rank * own.Length)..((rank + 1) * own.Length)])];
    }

    /// <summary>Gives every rank the contiguous tensors of each, in a new first dimension, on the device of this rank's.</summary>
    public static Tensor Gather(IProcessGroup group, Tensor own)
    {
        Tensor there = own.to(Place(group, own));
        Tensor all = TensorMemory.Empty([group.Size, .. own.shape], own.dtype, there.device);
        group.AllGather(TensorMemory.Pointer(there), TensorMemory.Pointer(all), own.numel() * own.element_size());
        return all.to(own.device);
    }

    /// <summary>Replaces a contiguous tensor of a floating dtype by the sum of all ranks'.</summary>
    public static void Sum(IProcessGroup group, Tensor own)
    {
        Tensor there = own.to(Place(group, own));
        group.AllReduce(TensorMemory.Pointer(there), own.numel(), TensorMemory.TypeOf(own)!.Value, ReduceOperation.Sum);
        if (there.device_type != own.device_type)
        {
            own.copy_(there);
        }
    }

    /// <summary>Replaces a contiguous tensor by that of a rank.</summary>
    public static void Broadcast(IProcessGroup group, Tensor own, int root)
    {
        Tensor there = own.to(Place(group, own));
        group.Broadcast(TensorMemory.Pointer(there), own.numel() * own.element_size(), root);
        if (there.device_type != own.device_type)
        {
            own.copy_(there);
        }
    }

    private static Device Place(IProcessGroup group, Tensor tensor) =>
        !group.IsOnDevice ? CPU : tensor.device_type == DeviceType.CUDA ? tensor.device : CUDA;
}
