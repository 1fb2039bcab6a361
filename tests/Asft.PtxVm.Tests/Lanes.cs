using System.Globalization;

namespace Asft.PtxVm.Tests;

/// <summary>Runs one instruction, or a few, on many operands: a thread for each.</summary>
/// <remarks>
/// Operands are named {a}, {b}, {c}, the result {d}; a letter says which register each is: h 16 bits, r 32 bits, f float32, d 64 bits,
/// e float64, p predicate (a result only). All come from and go to arrays of 64 bits, zero-extended.
/// </remarks>
internal static class Lanes
{
    private struct Arguments
    {
        public ulong A;
        public ulong B;
        public ulong C;
        public ulong D;
        public int Count;
    }

    public static ulong[] Run(string instruction, string registers, ulong[] a, ulong[]? b = null, ulong[]? c = null, PtxMachineOptions? options = null)
    {
        b ??= new ulong[a.Length];
        c ??= new ulong[a.Length];
        var d = new ulong[a.Length];
        var text = instruction.Replace("{d}", Register(registers[0], 0), StringComparison.Ordinal);
        var load = "";
        for (var i = 1; i < registers.Length; i++)
        {
            var name = "abc"[i - 1];
            load += $"ld.global.u64 %rd{i}, [%rd{10 + i}];\n" + Narrow(registers[i], i);
            text = text.Replace("{" + name + "}", Register(registers[i], i), StringComparison.Ordinal);
        }

        using var program = new Program(Program.Kernel(string.Create(CultureInfo.InvariantCulture, $$"""
            ld.param.u64 %rd11, [p];
            ld.param.u64 %rd12, [p+8];
            ld.param.u64 %rd13, [p+16];
            ld.param.u64 %rd14, [p+24];
            ld.param.u32 %r20, [p+32];
            mov.u32 %r21, %ctaid.x;
            mov.u32 %r22, %ntid.x;
            mov.u32 %r23, %tid.x;
            mad.lo.s32 %r24, %r21, %r22, %r23;
            setp.ge.s32 %p10, %r24, %r20;
            @%p10 ret;
            mul.wide.s32 %rd15, %r24, 8;
            add.s64 %rd11, %rd11, %rd15;
            add.s64 %rd12, %rd12, %rd15;
            add.s64 %rd13, %rd13, %rd15;
            add.s64 %rd14, %rd14, %rd15;
            {{load}}
            {{text}}
            {{Widen(registers[0])}}
            st.global.u64 [%rd14], %rd0;
            ret;
            """), parameterBytes: 40), options);
        var arguments = new Arguments { A = program.Use(a), B = program.Use(b), C = program.Use(c), D = program.Use(d, initialized: false), Count = a.Length };
        program.Launch("k", (uint)(a.Length + 127) / 128, 128, arguments);
        return d;
    }

    public static ulong[] Bits(IEnumerable<float> values) => [.. values.Select(value => (ulong)BitConverter.SingleToUInt32Bits(value))];

    public static ulong[] Bits(IEnumerable<double> values) => [.. values.Select(BitConverter.DoubleToUInt64Bits)];

    public static float Single(ulong bits) => BitConverter.UInt32BitsToSingle((uint)bits);

    /// <summary>Every pair of the values.</summary>
    public static (ulong[] A, ulong[] B) Pairs(ulong[] values)
    {
        var pairs = values.SelectMany(a => values.Select(b => (a, b))).ToArray();
        return ([.. pairs.Select(pair => pair.a)], [.. pairs.Select(pair => pair.b)]);
    }

    /// <summary>Float32 numbers of every kind, and random ones.</summary>
    public static float[] Singles(int random = 24)
    {
        var generator = new Random(random);
        float[] special =
        [
            0f, -0f, 1f, -1f, 0.5f, 1.5f, 2.5f, -2.5f, 3f, 1e10f, -1e-10f, float.Epsilon, -float.Epsilon, 1.17549421e-38f, 1.17549435e-38f, -1.17549421e-38f,
            float.MaxValue, float.MinValue, float.PositiveInfinity, float.NegativeInfinity, float.NaN, 16777216f, 16777215f, 2147483648f, -2147483648f, 65504f, 65520f, 5.9604645e-8f,
        ];
        return [.. special, .. Enumerable.Range(0, random).Select(_ => BitConverter.Int32BitsToSingle(generator.Next(int.MinValue, int.MaxValue)))];
    }

    public static double[] Doubles(int random = 24)
    {
        var generator = new Random(random);
        double[] special =
        [
            0, -0.0, 1, -1, 0.5, 1.5, 2.5, -2.5, 1e100, -1e-100, double.Epsilon, 2.2250738585072009e-308, double.MaxValue, double.MinValue,
            double.PositiveInfinity, double.NegativeInfinity, double.NaN, 9007199254740993, 9223372036854775808.0, -9223372036854775808.0,
        ];
        return [.. special, .. Enumerable.Range(0, random).Select(_ => BitConverter.Int64BitsToDouble(generator.NextInt64(long.MinValue, long.MaxValue)))];
    }

    /// <summary>64-bit patterns, small, large, random.</summary>
    public static ulong[] Integers(int random = 24)
    {
        var generator = new Random(random);
        ulong[] special = [0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, ulong.MaxValue, 0x0123456789ABCDEF];
        return [.. special, .. Enumerable.Range(0, random).Select(_ => (ulong)generator.NextInt64(long.MinValue, long.MaxValue))];
    }

    private static string Register(char kind, int index) => kind switch
    {
        'h' => $"%rs{index}",
        'r' => $"%r{index}",
        'f' => $"%f{index}",
        'd' => $"%rd{index}",
        'e' => $"%fd{index}",
        _ => $"%p{index}",
    };

    private static string Narrow(char kind, int i) => kind switch
    {
        'h' => $"cvt.u16.u64 %rs{i}, %rd{i};\n",
        'r' => $"cvt.u32.u64 %r{i}, %rd{i};\n",
        'f' => $"cvt.u32.u64 %r{i}, %rd{i};\nmov.b32 %f{i}, %r{i};\n",
        'd' => "",
        'e' => $"mov.b64 %fd{i}, %rd{i};\n",
        _ => $"setp.ne.u64 %p{i}, %rd{i}, 0;\n",
    };

    private static string Widen(char kind) => kind switch
    {
        'h' => "cvt.u64.u16 %rd0, %rs0;",
        'r' => "cvt.u64.u32 %rd0, %r0;",
        'f' => "mov.b32 %r0, %f0;\ncvt.u64.u32 %rd0, %r0;",
        'd' => "",
        'e' => "mov.b64 %rd0, %fd0;",
        _ => "selp.u64 %rd0, 1, 0, %p0;",
    };
}
