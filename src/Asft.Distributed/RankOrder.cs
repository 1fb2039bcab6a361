using System.Numerics;
using Asft.Interop;
using Asft.Kernels;

namespace Asft.Distributed;

/// <summary>
/// Reductions in the order of ranks, whatever an engine's own would be: the same bits with every engine and every number of machines.
/// </summary>
internal static unsafe class RankOrder
{
    private const int Block = 1024;

    /// <summary>Reduces the elements that all ranks have at each place.</summary>
    /// <param name="parts">The first rank's, then the second's, and so on.</param>
    /// <param name="ranks">How many ranks.</param>
    /// <param name="result">Where the result goes; does not overlap the parts.</param>
    /// <param name="count">Elements of a rank.</param>
    /// <param name="type">Their type; 16-bit ones are added in float32, and rounded once.</param>
    /// <param name="operation">What is made of them.</param>
    public static void Reduce(void* parts, int ranks, void* result, int count, ElementType type, ReduceOperation operation)
    {
        switch (type)
        {
            case ElementType.Float64:
                Reduce((double*)parts, ranks, (double*)result, count, operation);
                break;
            case ElementType.Float32:
                Reduce((float*)parts, ranks, (float*)result, count, operation);
                break;
            default:
                float* all = stackalloc float[Block];
                float* one = stackalloc float[Block];
                for (int first = 0; first < count; first += Block)
                {
                    int length = Math.Min(Block, count - first);
                    BlockConversion.Widen((ushort*)parts + first, type, all, length);
                    for (int rank = 1; rank < ranks; rank++)
                    {
                        BlockConversion.Widen((ushort*)parts + ((long)rank * count) + first, type, one, length);
                        Add(all, one, length, operation);
                    }

                    BlockConversion.Narrow(all, (ushort*)result + first, type, length);
                }

                break;
        }
    }

    private static void Reduce<T>(T* parts, int ranks, T* result, int count, ReduceOperation operation)
        where T : unmanaged, INumber<T>
    {
        Buffer.MemoryCopy(parts, result, (long)count * sizeof(T), (long)count * sizeof(T));
        for (int rank = 1; rank < ranks; rank++)
        {
            Add(result, parts + ((long)rank * count), count, operation);
        }
    }

    private static void Add<T>(T* to, T* values, int count, ReduceOperation operation)
        where T : unmanaged, INumber<T>
    {
        int i = 0;
        if (operation == ReduceOperation.Max)
        {
            for (; i < count; i++)
            {
                to[i] = T.Max(to[i], values[i]);
            }

            return;
        }

        for (; i <= count - Vector<T>.Count; i += Vector<T>.Count)
        {
            Vector.Store(Vector.Load(to + i) + Vector.Load(values + i), to + i);
        }

        for (; i < count; i++)
        {
            to[i] += values[i];
        }
    }
}
