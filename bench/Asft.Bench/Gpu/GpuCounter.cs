using Asft.Kernels;
using Asft.Kernels.Cuda;
using Asft.PtxVm;

namespace Asft.Bench.Gpu;

/// <summary>Runs the PTX that Asft ships in the virtual machine, with every check on, and takes its counts.</summary>
internal static unsafe class GpuCounter
{
    /// <summary>Runs a case.</summary>
    public static GpuCounts Count(GpuCase wanted)
    {
        using var machine = new PtxMachine(new PtxMachineOptions
        {
            Devices = [Device(wanted)],
        });
        using var kernel = new CudaTokenLossKernel(machine, 0);
        var random = new Random(1);
        LogitMatrix logits = Random(machine, wanted, wanted.Type, 0, random);
        LogitMatrix reference = Random(
            machine,
            wanted,
            wanted.Variant == GpuVariant.Float32Reference ? ElementType.Float32 : wanted.Type,
            wanted.Variant == GpuVariant.MovedReference ? 1 : 0,
            random);
        long* labels = (long*)Allocate(machine, wanted.Rows * sizeof(long));
        for (int row = 0; row < wanted.Rows; row++)
        {
            labels[row] = random.Next(wanted.Vocabulary);
        }

        var problem = new TokenProblem
        {
            Objective = LossObjective.Asft() with { LogitSoftcap = wanted.Variant switch { GpuVariant.Softcap => 30, GpuVariant.ReachedSoftcap => 5, _ => 0 } },
            Rows = wanted.Rows,
            Vocabulary = wanted.Vocabulary,
            Logits = logits,
            Reference = reference,
            Labels = labels,
        };
        long outputBytes = wanted.Rows * sizeof(float);
        var outputs = new TokenOutputs
        {
            Loss = Allocate(machine, outputBytes),
            Weight = Allocate(machine, outputBytes),
            Kl = Allocate(machine, outputBytes),
            LogSumExp = Allocate(machine, outputBytes),
            ReferenceLogSumExp = Allocate(machine, outputBytes),
        };
        machine.ResetCounts();
        string? fault = null;
        try
        {
            kernel.Forward(problem, outputs, wanted.Gradient ? new TokenGradient { Logits = logits, Scale = 1.0 / wanted.Rows } : default);
        }
        catch (PtxFaultException error)
        {
            fault = error.Message;
        }

        return Sum(wanted, machine, fault);
    }

    private static CudaDevice Device(GpuCase wanted)
    {
        (int major, int minor, int sharedKiB) = wanted.Architecture switch
        {
            GpuArchitecture.Sm90 => (9, 0, 227),
            GpuArchitecture.Sm89 => (8, 9, 99),
            _ => (8, 0, 163),
        };
        return new CudaDevice(0, "PTX virtual machine", major, minor, wanted.Multiprocessors, 40L << 30, sharedKiB << 10);
    }

    private static GpuCounts Sum(GpuCase wanted, PtxMachine machine, string? fault)
    {
        LaunchCounts[] kernels = [.. machine.CountsByKernel.Values];
        long Total(Func<LaunchCounts, long> count) => kernels.Sum(count);
        InstructionClass[] integer =
            [InstructionClass.Integer, InstructionClass.Logic, InstructionClass.Comparison, InstructionClass.Conversion];
        return new GpuCounts(
            wanted,
            Total(k => k.Launches),
            kernels.Select(k => k.Threads / wanted.Rows).DefaultIfEmpty().Max(),
            Total(k => k.WarpInstructions),
            Total(k => k.LaneInstructions),
            Total(k => k.Lanes(InstructionClass.Float32)),
            Total(k => integer.Sum(k.Lanes)),
            Total(k => k.TranscendentalOperations),
            Total(k => k.GlobalLoadSectors),
            Total(k => k.GlobalStoreSectors),
            Total(k => k.GlobalLoadUsefulBytes),
            Total(k => k.GlobalStoreUsefulBytes),
            Total(k => k.DistinctSectorsRead),
            Total(k => k.DistinctSectorsWritten),
            Total(k => k.BankConflicts),
            fault);
    }

    private static LogitMatrix Random(PtxMachine machine, GpuCase wanted, ElementType type, int moved, Random random)
    {
        byte* memory = (byte*)Allocate(machine, (wanted.Elements + moved) * type.SizeInBytes()) + (moved * type.SizeInBytes());
        for (long i = 0; i < wanted.Elements; i++)
        {
            float value = (float)((random.NextDouble() - 0.5) * 12);
            if (type == ElementType.Float32)
            {
                ((float*)memory)[i] = value;
            }
            else
            {
                ((ushort*)memory)[i] = (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16); // bfloat16, cut off
            }
        }

        return new LogitMatrix(memory, type, wanted.Vocabulary);
    }

    /// <summary>Memory that counts as written, and is then: device addresses of the machine are the host's.</summary>
    private static void* Allocate(PtxMachine machine, long bytes)
    {
        void* memory = machine.Allocate(0, bytes);
        machine.Fill(0, memory, 0, bytes, 0);
        return memory;
    }
}
