namespace Asft.PtxVm.Tests;

/// <summary>PTX as the CUDA compiler writes it, against the same computed here. The CUDA C++ is beside each PTX.</summary>
public class CompiledProgramTests
{
    private struct Rows
    {
        public ulong Values;
        public ulong Sums;
        public long Columns;
    }

    private struct Softmax
    {
        public ulong Logits;
        public ulong Probabilities;
        public int Columns;
    }

    private struct Functions
    {
        public ulong X;
        public ulong Y;
        public ulong Xd;
        public ulong Yd;
        public int Count;
    }

    private struct Walk
    {
        public ulong Starts;
        public ulong Steps;
        public int Count;
    }

    [TestCase(1, 256u)]
    [TestCase(255, 256u)]
    [TestCase(1000, 256u)]
    [TestCase(1000, 64u)]
    [TestCase(5003, 128u)]
    public void RowSums(int columns, uint threads)
    {
        const int Rows = 7;
        var random = new Random(columns);
        var values = Enumerable.Range(0, Rows * columns).Select(_ => (float)random.Next(-1000, 1000)).ToArray(); // sums of integers are exact in any order
        var sums = new float[Rows];
        using var program = new Program(Program.Read("reduction"));
        program.Launch("row_sums", Rows, threads, new Rows { Values = program.Use(values), Sums = program.Use(sums, initialized: false), Columns = columns });
        for (var row = 0; row < Rows; row++)
        {
            Assert.That(sums[row], Is.EqualTo(values.Skip(row * columns).Take(columns).Sum()), $"row {row}");
        }
    }

    [TestCase(1, 32u)]
    [TestCase(77, 64u)]
    [TestCase(3001, 256u)]
    public void SoftmaxOfBFloat16(int columns, uint threads)
    {
        const int Rows = 3;
        var random = new Random(columns);
        var logits = Enumerable.Range(0, Rows * columns).Select(_ => (ushort)(BitConverter.SingleToUInt32Bits((float)(random.NextDouble() * 20 - 10)) >> 16)).ToArray();
        var probabilities = new ushort[logits.Length];
        using var program = new Program(Program.Read("softmax"));
        program.Launch("softmax", Rows, threads, new Softmax { Logits = program.Use(logits), Probabilities = program.Use(probabilities, initialized: false), Columns = columns });
        for (var row = 0; row < Rows; row++)
        {
            var exact = Enumerable.Range(0, columns).Select(i => Math.Exp(Widen(logits[row * columns + i]))).ToArray();
            var total = exact.Sum();
            for (var i = 0; i < columns; i++)
            {
                Assert.That(Widen(probabilities[row * columns + i]), Is.EqualTo(exact[i] / total).Within(0.004 * exact[i] / total), $"row {row}, column {i}"); // half a unit of bfloat16, and a little
            }
        }

        static float Widen(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);
    }

    [Test]
    public void CudaFunctions()
    {
        const int Count = 1000;
        var random = new Random(5);
        var x = Enumerable.Range(0, Count).Select(_ => (float)Math.Exp(random.NextDouble() * 12 - 8)).ToArray();
        var xd = x.Select(value => value * (1 + random.NextDouble())).ToArray();
        var (y, yd) = (new float[10 * Count], new double[8 * Count]);
        using var program = new Program(Program.Read("functions"));
        program.Launch("functions", 8, 128, new Functions
        {
            X = program.Use(x),
            Y = program.Use(y, initialized: false),
            Xd = program.Use(xd),
            Yd = program.Use(yd, initialized: false),
            Count = Count,
        });
        Func<double, double>[] single = [Math.Log, Math.Exp, a => Math.Log(1 + a), a => Math.Exp(a) - 1, Math.Tanh, Math.Sqrt, a => Math.Pow(a, 1.5), a => a / 3, a => Math.Sin((float)(a * 100000)), Erf];
        Func<double, double>[] wide = [Math.Log, Math.Exp, a => Math.Log(1 + a), Math.Tanh, Math.Sqrt, a => 1 / a, a => Math.Pow(a, 1.5), a => 1 / Math.Sqrt(a)];
        Assert.Multiple(() =>
        {
            for (var i = 0; i < Count; i++)
            {
                for (var f = 0; f < single.Length; f++)
                {
                    var expected = single[f](f == 8 ? x[i] : (double)x[i]);
                    expected = f == 8 ? Math.Sin(x[i] * 100000.0f) : expected;
                    Assert.That(y[f * Count + i], Is.EqualTo(expected).Within(1e-6 * Math.Abs(expected) + 2e-7), $"float function {f} of {x[i]}");
                }

                for (var f = 0; f < wide.Length; f++)
                {
                    var expected = wide[f](xd[i]);
                    Assert.That(yd[f * Count + i], Is.EqualTo(expected).Within(2e-15 * Math.Abs(expected) + 4e-16), $"double function {f} of {xd[i]}");
                }
            }
        });
    }

    [Test]
    public void Walks()
    {
        const int Count = 500;
        var starts = Enumerable.Range(0, Count).Select(i => i % 17 == 3 ? 0u : (uint)(i * 37 % 911)).ToArray();
        var steps = new int[Count];
        using var program = new Program(Program.Read("functions"));
        program.Launch("walks", 4, 128, new Walk { Starts = program.Use(starts), Steps = program.Use(steps, initialized: false), Count = Count });
        for (var i = 0; i < Count; i++)
        {
            Assert.That(steps[i], Is.EqualTo(Expected(starts[i])), $"from {starts[i]}");
        }

        static int Expected(uint start)
        {
            if (start == 0)
            {
                return -1;
            }

            var steps = 0;
            for (var n = start; n != 1; n = n % 2 == 0 ? n / 2 : 3 * n + 1)
            {
                steps++;
            }

            return (start % 5) switch { 0 => steps + 1000, 1 => -steps, 2 => steps ^ 0x55, 3 => steps * 3, _ => steps };
        }
    }

    // by its series about 0 and its continued fraction, good to 1e-10
    private static double Erf(double x)
    {
        if (x < 3)
        {
            var (term, sum) = (x, x);
            for (var n = 1; n < 100; n++)
            {
                term *= -x * x / n;
                sum += term / (2 * n + 1);
            }

            return 2 / Math.Sqrt(Math.PI) * sum;
        }

        var fraction = 0.0;
        for (var n = 60; n > 0; n--)
        {
            fraction = n / 2.0 / (x + fraction);
        }

        return 1 - Math.Exp(-x * x) / Math.Sqrt(Math.PI) / (x + fraction);
    }
}
