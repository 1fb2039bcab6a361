using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Asft.Interop;

/// <summary>
/// Brings bfloat16 operands into the forms in which the matrix units take them. The left one has its rows one after the other; of the
/// right one, two rows at a time are interleaved, so that the two elements which are multiplied and added in one step lie side by side:
/// as one number of 32 bits here, a pair.
/// </summary>
internal static unsafe class BFloat16Packing
{
    private const int Columns = BFloat16Units.TileColumns;

    /// <summary>Rows and columns of the blocks that are transposed in registers, and pairs in a register.</summary>
    private const int Block = 16;

    /// <summary>The right operand, <c>[depth, 64]</c>, from its rows.</summary>
    /// <param name="from">First element.</param>
    /// <param name="stride">Distance of two rows, in elements.</param>
    /// <param name="rows">Rows that there are.</param>
    /// <param name="columns">Columns that there are, at most 64; the others become 0.</param>
    /// <param name="depth">Rows of the operand, even; those that are not there become 0.</param>
    /// <param name="to"><c>[depth / 2, 64]</c> pairs.</param>
    public static void PairRows(ushort* from, long stride, long rows, int columns, long depth, uint* to)
    {
        for (long row = 0; row < depth; row += 2, to += Columns)
        {
            ushort* first = from + (row * stride);
            ushort* second = first + stride;
            if (row + 1 < rows && columns == Columns)
            {
                for (int i = 0; i < Columns; i += 2 * Block)
                {
                    (Vector512<uint> firstLow, Vector512<uint> firstHigh) = Vector512.Widen(Vector512.Load(first + i));
                    (Vector512<uint> secondLow, Vector512<uint> secondHigh) = Vector512.Widen(Vector512.Load(second + i));
                    (firstLow | (secondLow << 16)).Store(to + i);
                    (firstHigh | (secondHigh << 16)).Store(to + i + Block);
                }
            }
            else
            {
                for (int i = 0; i < Columns; i++)
                {
                    uint low = row < rows && i < columns ? first[i] : 0u;
                    uint high = row + 1 < rows && i < columns ? second[i] : 0u;
                    to[i] = low | (high << 16);
                }
            }
        }
    }

    /// <summary>The right operand, <c>[depth, 64]</c>, from its columns.</summary>
    /// <param name="from">First pair of column 0.</param>
    /// <param name="stride">Distance of two columns, in pairs.</param>
    /// <param name="columns">Columns that there are, at most 64; the others become 0.</param>
    /// <param name="depth">Length of a column, even.</param>
    /// <param name="to"><c>[depth / 2, 64]</c> pairs.</param>
    public static void PairColumns(uint* from, long stride, int columns, long depth, uint* to)
    {
        long pairs = depth / 2;
        for (int column = 0; column < Columns; column += Block)
        {
            uint* block = from + (column * stride);
            int present = Math.Clamp(columns - column, 0, Block);
            for (long pair = 0; pair < pairs; pair += Block)
            {
                uint* target = to + (pair * Columns) + column;
                int count = (int)Math.Min(Block, pairs - pair);
                if (present == Block && count == Block)
                {
                    Transpose(block + pair, stride, target, Columns);
                    continue;
                }

                for (int i = 0; i < count; i++)
                {
                    for (int j = 0; j < Block; j++)
                    {
                        target[(i * Columns) + j] = j < present ? block[(j * stride) + pair + i] : 0;
                    }
                }
            }
        }
    }

    /// <summary>32 columns of the left operand, <c>[64, ...]</c>.</summary>
    /// <param name="columns">The columns, interleaved by <see cref="PairRows"/>: <c>[16, 64]</c> pairs.</param>
    /// <param name="to">The first pair of row 0.</param>
    /// <param name="stride">Distance of two rows there, in pairs.</param>
    public static void Transpose(uint* columns, uint* to, long stride)
    {
        for (int row = 0; row < Columns; row += Block)
        {
            Transpose(columns + row, Columns, to + (row * stride), stride);
        }
    }

    /// <summary>Transposes sixteen rows of sixteen pairs: within each quarter of the registers first, then the quarters.</summary>
    private static void Transpose(uint* from, long fromStride, uint* to, long toStride)
    {
        Vector512<uint>* quarters = stackalloc Vector512<uint>[Block];
        for (int i = 0; i < Block; i += 4)
        {
            uint* row = from + (i * fromStride);
            Vector512<uint> a = Vector512.Load(row);
            Vector512<uint> b = Vector512.Load(row + fromStride);
            Vector512<uint> c = Vector512.Load(row + (2 * fromStride));
            Vector512<uint> d = Vector512.Load(row + (3 * fromStride));
            Vector512<ulong> abLow = Avx512F.UnpackLow(a, b).AsUInt64();
            Vector512<ulong> abHigh = Avx512F.UnpackHigh(a, b).AsUInt64();
            Vector512<ulong> cdLow = Avx512F.UnpackLow(c, d).AsUInt64();
            Vector512<ulong> cdHigh = Avx512F.UnpackHigh(c, d).AsUInt64();
            quarters[i] = Avx512F.UnpackLow(abLow, cdLow).AsUInt32();
            quarters[i + 1] = Avx512F.UnpackHigh(abLow, cdLow).AsUInt32();
            quarters[i + 2] = Avx512F.UnpackLow(abHigh, cdHigh).AsUInt32();
            quarters[i + 3] = Avx512F.UnpackHigh(abHigh, cdHigh).AsUInt32();
        }

        for (int i = 0; i < 4; i++)
        {
            Vector512<uint> lowAb = Avx512F.Shuffle4x128(quarters[i], quarters[i + 4], 0x44);
            Vector512<uint> highAb = Avx512F.Shuffle4x128(quarters[i], quarters[i + 4], 0xEE);
            Vector512<uint> lowCd = Avx512F.Shuffle4x128(quarters[i + 8], quarters[i + 12], 0x44);
            Vector512<uint> highCd = Avx512F.Shuffle4x128(quarters[i + 8], quarters[i + 12], 0xEE);
            uint* column = to + (i * toStride);
            Avx512F.Shuffle4x128(lowAb, lowCd, 0x88).Store(column);
            Avx512F.Shuffle4x128(lowAb, lowCd, 0xDD).Store(column + (4 * toStride));
            Avx512F.Shuffle4x128(highAb, highCd, 0x88).Store(column + (8 * toStride));
            Avx512F.Shuffle4x128(highAb, highCd, 0xDD).Store(column + (12 * toStride));
        }
    }
}
