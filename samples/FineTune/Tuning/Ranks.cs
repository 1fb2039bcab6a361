using Asft.Distributed;
using Asft.Interop;
using static TorchSharp.torch;

namespace FineTune.Tuning;

/// <summary>
/// The processes that make a training together: each takes some rows of every step, and all of them the same step. The first one alone reads
/// weights and states, and writes.
/// </summary>
internal sealed class Ranks : IDisposable
{
    private readonly IProcessGroup? group;
    private readonly DataParallel? parallel;

    /// <param name="group">The processes; null for this one alone.</param>
    public Ranks(IProcessGroup? group = null)
    {
        this.group = group;
        parallel = group is null ? null : new DataParallel(group, []);
    }

    /// <summary>Whether this is the one that reads and writes.</summary>
    public bool IsFirst => group is null or { Rank: 0 };

    /// <summary>Gives every rank what the first one has.</summary>
    public void Share(IEnumerable<Tensor> tensors)
    {
        if (group is not null)
        {
            using var scope = NewDisposeScope();
            new DataParallel(group, tensors.Select(static tensor => tensor.detach())).Dispose();
        }
    }

    /// <summary>The first rank's number.</summary>
    public long Share(long number)
    {
        using Tensor shared = tensor(number);
        Share([shared]);
        return shared.item<long>();
    }

    /// <summary>This rank's of a step's rows, which may be none.</summary>
    public T[] Part<T>(T[] rows) => parallel is null ? rows : rows[parallel.Part(rows.Length)];

    /// <summary>Sums of all ranks' numbers.</summary>
    public double[] Sum(params double[] numbers)
    {
        if (parallel is null)
        {
            return numbers;
        }

        using var scope = NewDisposeScope();
        return parallel.Sum(tensor(numbers)).data<double>().ToArray();
    }

    /// <summary>The sum of all ranks' tensors; without other ranks, the tensor itself.</summary>
    public Tensor Sum(Tensor own) => parallel?.Sum(own) ?? own;

    /// <summary>Whether it is so on any rank.</summary>
    public bool Any(bool own) => Sum(own ? 1 : 0)[0] > 0;

    /// <summary>Says that the training has come to its end, on all ranks alike.</summary>
    public void Complete() => group?.Complete();

    public void Dispose() => parallel?.Dispose();
}
