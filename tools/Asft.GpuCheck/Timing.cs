using Asft.Kernels;

namespace Asft.GpuCheck;

/// <summary>A time.</summary>
/// <param name="Objective">The objective.</param>
/// <param name="Type">How logits, reference and gradient are stored.</param>
/// <param name="Vocabulary">V.</param>
/// <param name="Rows">N.</param>
/// <param name="HasGradient">Whether the gradient is computed too, in place.</param>
/// <param name="Milliseconds">The median time of a call on the device.</param>
/// <param name="GigabytesPerSecond">The matrices that are read and written once each, over that time.</param>
internal sealed record TimeResult(
    string Objective, ElementType Type, long Vocabulary, long Rows, bool HasGradient, double Milliseconds, double GigabytesPerSecond);

/// <summary>How long the kernels take on a device.</summary>
/// <param name="device">The device.</param>
/// <param name="kernel">The kernel on it, which does not wait.</param>
/// <param name="sizes">How much.</param>
internal sealed unsafe class Timing(GpuDevice device, ITokenLossKernel kernel, GpuSizes sizes)
{
    /// <summary>Share of the free memory that is used.</summary>
    private const double MemoryShare = 0.8;

    private static readonly (string Name, LossObjective Objective)[] s_objectives =
    [
        ("SFT", LossObjective.Sft),
        ("DFT", LossObjective.Dft),
        ("SFT + KL", LossObjective.SftKl(0.05)),
        ("ASFT", LossObjective.Asft()),
        ("ASFT, reverse KL", LossObjective.Asft() with { KlDirection = KlDirection.Reverse }),
        ("importance ratio", new LossObjective { Weighting = TokenWeighting.ImportanceRatio, WeightMax = 3 }),
        ("entropy", new LossObjective { Weighting = TokenWeighting.Entropy }),
        ("ASFT, k3", LossObjective.Asft() with { KlEstimator = KlEstimator.K3 }),
        ("ASFT, softcap 30", LossObjective.Asft() with { LogitSoftcap = 30 }),
        ("ASFT, smoothing 0.1", LossObjective.Asft() with { LabelSmoothing = 0.1 }),
    ];

    /// <summary>How fast the memory copies, in GB/s: bytes read and bytes written, over the time of a copy on the device.</summary>
    /// <returns>The median.</returns>
    public double CopyBandwidth()
    {
        void* from = device.Driver.Allocate(device.Ordinal, sizes.CopyBytes);
        void* to = device.Driver.Allocate(device.Ordinal, sizes.CopyBytes);
        device.Clear(from, sizes.CopyBytes);
        double milliseconds = Median(() => { }, () => device.CopyOnDevice(to, from, sizes.CopyBytes));
        device.Driver.Free(device.Ordinal, to);
        device.Driver.Free(device.Ordinal, from);
        return 2 * sizes.CopyBytes / milliseconds / 1e6;
    }

    /// <summary>Every objective at every vocabulary and in every type, forward and with the gradient.</summary>
    /// <returns>The times.</returns>
    public IEnumerable<TimeResult> Vocabularies() =>
        from type in sizes.Types
        from vocabulary in sizes.Vocabularies
        from result in Measure(type, vocabulary, sizes.Rows, s_objectives)
        select result;

    /// <summary>ASFT in bfloat16, from one row to many.</summary>
    /// <returns>The times.</returns>
    public IEnumerable<TimeResult> RowCounts() =>
        from rows in sizes.RowCounts
        from result in Measure(ElementType.BFloat16, sizes.RowsVocabulary, rows, [.. s_objectives.Where(entry => entry.Name == "ASFT")])
        select result;

    private List<TimeResult> Measure(ElementType type, long vocabulary, long rows, (string Name, LossObjective Objective)[] objectives)
    {
        long rowBytes = vocabulary * type.SizeInBytes();
        rows = Math.Clamp((long)(device.FreeMemory * MemoryShare) / 3 / rowBytes, 1, rows);
        using var memory = new LogitMemory(device, type, rows, vocabulary);
        var results = new List<TimeResult>();
        foreach ((string name, LossObjective objective) in objectives)
        {
            foreach (bool hasGradient in new[] { false, true })
            {
                TokenProblem problem = memory.Problem(objective);
                var outputs = new TokenOutputs { Loss = memory.Loss };
                TokenGradient gradient = hasGradient ? new TokenGradient { Logits = problem.Logits, Scale = 1.0 / rows } : default;
                double milliseconds = Median(memory.Refresh, () => kernel.Forward(problem, outputs, gradient));
                int matrices = 1 + (objective.NeedsReference ? 1 : 0) + (hasGradient ? 1 : 0);
                results.Add(new TimeResult(name, type, vocabulary, rows, hasGradient, milliseconds, matrices * rows * rowBytes / milliseconds / 1e6));
            }
        }

        return results;
    }

    /// <summary>The median time of some work, each time after something that is not measured; the first time is not counted.</summary>
    private double Median(Action before, Action work)
    {
        double[] times = [.. Enumerable.Range(0, sizes.Repeats + 1).Select(_ =>
        {
            before();
            return device.Time(work);
        }).Skip(1).Order()];
        return times[times.Length / 2];
    }
}
