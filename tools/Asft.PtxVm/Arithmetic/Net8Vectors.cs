#if !NET9_0_OR_GREATER
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Asft.PtxVm.Arithmetic;

/// <summary>What .NET 9 added to its vectors, for the tests on .NET 8.</summary>
internal static class Net8Vectors
{
    extension(Vector256)
    {
        public static Vector256<float> FusedMultiplyAdd(Vector256<float> left, Vector256<float> right, Vector256<float> addend) =>
            Fma.IsSupported ? Fma.MultiplyAdd(left, right, addend) : Each(i => float.FusedMultiplyAdd(left[i], right[i], addend[i]));

        public static Vector256<double> FusedMultiplyAdd(Vector256<double> left, Vector256<double> right, Vector256<double> addend) =>
            Fma.IsSupported ? Fma.MultiplyAdd(left, right, addend) : Each(i => double.FusedMultiplyAdd(left[i], right[i], addend[i]));

        public static Vector256<float> MinNumber(Vector256<float> left, Vector256<float> right) =>
            Each(i => float.MinNumber(left[i], right[i]));

        public static Vector256<float> MaxNumber(Vector256<float> left, Vector256<float> right) =>
            Each(i => float.MaxNumber(left[i], right[i]));
    }

    private static Vector256<T> Each<T>(Func<int, T> lane)
    {
        var lanes = new T[Vector256<T>.Count];
        for (int i = 0; i < lanes.Length; i++)
        {
            lanes[i] = lane(i);
        }

        return Vector256.Create(lanes);
    }
}
#endif
