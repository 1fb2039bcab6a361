namespace Asft.Kernels.Ilgpu;

/// <summary>
/// Moves chosen rows between a matrix anywhere in host memory and device memory, where they lie one after the other.
/// </summary>
internal static unsafe class RowPacking
{
    /// <summary>Writes rows to the device.</summary>
    /// <param name="memory">The device memory.</param>
    /// <param name="matrix">Where the rows are.</param>
    /// <param name="rows">Which rows.</param>
    /// <param name="vocabulary">Elements of a row.</param>
    public static void Write(DeviceMemory memory, in LogitMatrix matrix, ReadOnlySpan<long> rows, long vocabulary)
    {
        long rowBytes = vocabulary * matrix.Type.SizeInBytes();
        for (int i = 0; i < rows.Length;)
        {
            int run = RunAt(matrix, rows[i..], rowBytes);
            memory.Write(i * rowBytes, matrix.Row(rows[i]), run * rowBytes);
            i += run;
        }

        memory.Submit(rows.Length * rowBytes);
    }

    /// <summary>Reads rows from the device.</summary>
    /// <param name="memory">The device memory.</param>
    /// <param name="matrix">Where the rows go.</param>
    /// <param name="rows">Which rows.</param>
    /// <param name="vocabulary">Elements of a row.</param>
    public static void Read(DeviceMemory memory, in LogitMatrix matrix, ReadOnlySpan<long> rows, long vocabulary)
    {
        long rowBytes = vocabulary * matrix.Type.SizeInBytes();
        memory.Fetch(rows.Length * rowBytes);
        for (int i = 0; i < rows.Length;)
        {
            int run = RunAt(matrix, rows[i..], rowBytes);
            memory.Read(i * rowBytes, matrix.Row(rows[i]), run * rowBytes);
            i += run;
        }
    }

    /// <summary>How many of the rows, from the first on, follow one another without a gap and so move in one piece.</summary>
    private static int RunAt(in LogitMatrix matrix, ReadOnlySpan<long> rows, long rowBytes)
    {
        byte* start = (byte*)matrix.Row(rows[0]);
        int run = 1;
        while (run < rows.Length && matrix.Row(rows[run]) == start + (run * rowBytes))
        {
            run++;
        }

        return run;
    }
}
