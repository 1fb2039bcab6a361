using System.Runtime.InteropServices;

namespace Asft.Kernels.Cuda.Driver;

/// <summary><c>CUlaunchConfig</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct CudaLaunchConfig
{
    public uint GridX;
    public uint GridY;
    public uint GridZ;
    public uint BlockX;
    public uint BlockY;
    public uint BlockZ;
    public uint SharedBytes;
    public nint Stream;
    public CudaLaunchAttribute* Attributes;
    public uint AttributeCount;
}

/// <summary><c>CUlaunchAttribute</c> of a cluster's dimensions.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct CudaLaunchAttribute
{
    /// <summary>Its size: a number and, from the eighth byte on, a union of 64 bytes.</summary>
    public const int Bytes = 72;

    public int Id;
    public int Unused;
    public uint ClusterX;
    public uint ClusterY;
    public uint ClusterZ;
}
