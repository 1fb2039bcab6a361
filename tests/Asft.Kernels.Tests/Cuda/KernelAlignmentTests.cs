using System.Runtime.InteropServices;
using Asft.Kernels.Reference;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>Rows anywhere in memory: at every offset from a line, each matrix by itself, and more than 2^31 elements apart.</summary>
[Parallelizable]
public sealed unsafe class KernelAlignmentTests
{
    private const int Vocabulary = 1300;

    [Test]
    public void EveryAlignment([Values] ElementType type, [Values] bool inPlace)
    {
        // Rows of 1301 elements begin at a different place of a line each: with bfloat16, 64 of them begin at every place there is.
        const int Rows = 64;
        MachineKernel kernel = MachineKernel.Get();
        var objective = LossObjective.Asft();
        var random = new Random(4);
        double[] row = [.. Enumerable.Range(0, Vocabulary).Select(_ => random.Next(-64, 65) / 16.0)];
        double[] referenceRow = [.. row.Select(x => x + (random.Next(-8, 9) / 16.0))];
        double[] logits = [.. Enumerable.Range(0, Rows).SelectMany(_ => row)];
        double[] reference = [.. Enumerable.Range(0, Rows).SelectMany(_ => referenceRow)];
        using var run = new KernelRun(objective, logits, reference, [.. Enumerable.Repeat(1000L, Rows)], type, padding: 1);
        run.Forward(kernel, inPlace);
        using var exact = new KernelRun(objective, row, referenceRow, [1000], ElementType.Float64);
        exact.Forward(new ReferenceTokenLossKernel());
        double[] loss = [.. Enumerable.Repeat(exact.Read(exact.Outputs.Loss)[0], Rows)];
        double[] gradient = [.. Enumerable.Range(0, Rows).SelectMany(_ => exact.ReadMatrix(exact.Gradient))];
        Tolerance.AssertOutputs(run.Read(run.Outputs.Loss), loss, type, "loss");
        Tolerance.AssertGradient(run.ReadMatrix(inPlace ? run.Logits : run.Gradient), gradient, type, "gradient");
    }

    [Test]
    [Pairwise]
    public void EachMatrixMovedByItself(
        [Values] ElementType type, [Values("logits", "reference", "gradient")] string matrix, [Values(1, 8, 16)] int by,
        [Values] BlocksOfARow blocks)
    {
        const int Wide = 18_001;
        MachineKernel kernel = MachineKernel.Get(blocks);
        var test = new RandomCase(LossObjective.Asft(), 2, Wide, type, type, 3, false, 8);
        using KernelRun plain = test.Run();
        using KernelRun run = test.Run();
        plain.Forward(kernel);
        using var moved = new MovedMatrix(run.Problem, matrix == "logits" ? run.Logits : matrix == "reference" ? run.Problem.Reference : run.Gradient, by);
        var problem = new TokenProblem
        {
            Objective = run.Problem.Objective,
            Rows = 2,
            Vocabulary = Wide,
            Logits = matrix == "logits" ? moved.Matrix : run.Logits,
            Reference = matrix == "reference" ? moved.Matrix : run.Problem.Reference,
            Labels = run.Problem.Labels,
        };
        LogitMatrix gradient = matrix == "gradient" ? moved.Matrix : run.Gradient;
        kernel.Forward(problem, run.Outputs, new TokenGradient { Logits = gradient, Scale = 1 });
        Tolerance.AssertOutputs(run.Read(run.Outputs.Loss), plain.Read(plain.Outputs.Loss), type, "loss");
        Assert.That(run.Predicted, Is.EqualTo(plain.Predicted));
        Tolerance.AssertGradient(run.ReadMatrix(gradient), plain.ReadMatrix(plain.Gradient), type, "gradient");

        kernel.Backward(problem, run.Outputs, new TokenGradient { Logits = gradient, Scale = 1 });
        Tolerance.AssertGradient(run.ReadMatrix(gradient), plain.ReadMatrix(plain.Gradient), type, "gradient backward");
    }

    [Test]
    public void RowsFurtherApartThan32BitsReach([Values] bool byOffsets)
    {
        // 2^31 + 8 elements of bfloat16 from row to row: address space, of which two rows are touched.
        const long Stride = (1L << 31) + 8;
        MachineKernel kernel = MachineKernel.Get();
        var test = new RandomCase(LossObjective.Asft(), 2, Vocabulary, ElementType.BFloat16, ElementType.BFloat16, 0, false, 3);
        using KernelRun plain = test.Run();
        plain.Problem.Labels[0] = plain.Problem.Labels[1] = 77;
        plain.Forward(kernel);

        long bytes = (Stride + (5L * Vocabulary)) * sizeof(ushort);
        byte* space = (byte*)NativeMemory.AlignedAlloc((nuint)bytes, 256);
        try
        {
            long* offsets = stackalloc long[] { 0, Stride };
            LogitMatrix At(int place) => byOffsets
                ? new LogitMatrix(space + (place * 2688), ElementType.BFloat16, offsets)
                : new LogitMatrix(space + (place * 2688), ElementType.BFloat16, Stride);
            LogitMatrix logits = At(0);
            LogitMatrix reference = At(1);
            for (int row = 0; row < 2; row++)
            {
                NativeMemory.Copy(plain.Logits.Row(row), logits.Row(row), Vocabulary * sizeof(ushort));
                NativeMemory.Copy(plain.Problem.Reference.Row(row), reference.Row(row), Vocabulary * sizeof(ushort));
            }

            using KernelRun outputs = test.Run();
            var problem = new TokenProblem
            {
                Objective = test.Objective,
                Rows = 2,
                Vocabulary = Vocabulary,
                Logits = logits,
                Reference = reference,
                Labels = plain.Problem.Labels,
            };
            kernel.Forward(problem, outputs.Outputs, new TokenGradient { Logits = At(2), Scale = 1 });
            Assert.That(outputs.Read(outputs.Outputs.Loss), Is.EqualTo(plain.Read(plain.Outputs.Loss)).Within(1e-6));
            Tolerance.AssertGradient(plain.ReadMatrix(At(2)), plain.ReadMatrix(plain.Gradient), ElementType.BFloat16, "gradient");
        }
        finally
        {
            NativeMemory.AlignedFree(space);
        }
    }

    /// <summary>The same rows, some elements further on in other memory.</summary>
    private sealed class MovedMatrix : IDisposable
    {
        private readonly void* _block;

        public MovedMatrix(in TokenProblem problem, in LogitMatrix matrix, int elements)
        {
            int size = matrix.Type.SizeInBytes();
            nuint bytes = (nuint)(((problem.Rows * matrix.RowStride) + elements) * size);
            _block = NativeMemory.AlignedAlloc(bytes, 256);
            Matrix = new LogitMatrix((byte*)_block + (elements * size), matrix.Type, matrix.RowStride);
            for (long row = 0; row < problem.Rows; row++)
            {
                NativeMemory.Copy(matrix.Row(row), Matrix.Row(row), (nuint)(problem.Vocabulary * size));
            }
        }

        public LogitMatrix Matrix { get; }

        public void Dispose() => NativeMemory.AlignedFree(_block);
    }
}
