using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// A loss on rows of which this rank has some columns: what <see cref="ITokenLossKernel.Forward"/> does in one, in the steps that leave room for the
/// other ranks. Every rank merges the states of all in their order, so that all get the same bits.
/// </summary>
/// <remarks>
/// Rows are taken a few at a time: the gradient reads them once more, and they are still in the cache then. On a device there is one exchange for
/// all, as each costs a wait.
/// </remarks>
internal sealed unsafe class ShardedRows
{
    /// <summary>Bytes of logits, policy and reference, that a thread's share of the cache holds until the gradient.</summary>
    private const long ChunkBytes = 1 << 19;

    private readonly ITokenLossKernel _kernel;
    private readonly int[] _fields;
    private readonly long _chunkRows;

    private ShardedRows(ITokenLossKernel kernel, VocabularyShard shard, int[] fields, long chunkRows)
    {
        _kernel = kernel;
        Group = shard.Group;
        _fields = fields;
        _chunkRows = chunkRows;
    }

    /// <summary>The ranks.</summary>
    public IProcessGroup Group { get; }

    /// <summary>Begins a loss on a shard, once every rank is known to call it alike. A collective.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="asked">The arguments of the loss.</param>
    /// <param name="inputs">The tokens that are computed.</param>
    /// <param name="shape">What the kernel is given.</param>
    /// <returns>Null without a shard.</returns>
    /// <exception cref="InvalidOperationException">The ranks call it in different ways, or their columns are not the whole vocabulary.</exception>
    public static ShardedRows? Begin(ITokenLossKernel kernel, TokenArguments asked, TokenInputs inputs, in ShardShape shape)
    {
        if (asked.Shard is not { } shard)
        {
            return null;
        }

        long rowBytes = shape.Columns * shape.ElementBytes;
        long chunk = kernel.IsAsynchronous ? Math.Max(1, inputs.Count) : Math.Max(1, ChunkBytes * get_num_threads() / rowBytes);
        int[] fields = StateFields.Of(
            asked.Objective, shape.HasReference, inputs.Entries is not null && shape.HasReference, shape.HasMetrics, asked.Weighting is not null);
        var agreement = new ShardAgreement(shard, shape.Columns, chunk);
        agreement.Add("a number of rows of", inputs.Count);
        agreement.Add("logits of dtype", (long)shape.Type);
        agreement.Add("a reduction", (long)asked.Reduction);
        agreement.Add("gradients (bits: logits or weights, hidden states)", (shape.HasGradient ? 1 : 0) + (shape.HasHiddenGradient ? 2 : 0));
        agreement.Add("kind of reference, metrics or weighting", fields.Select(field => (long)field).ToArray());
        agreement.Add(asked.Objective);
        if (!kernel.IsAsynchronous)
        {
            agreement.Add("set of labels", new ReadOnlySpan<long>(inputs.Labels.Pointer, checked((int)inputs.Count)));
        }

        return new ShardedRows(kernel, shard, fields, agreement.Reach());
    }

    /// <summary>The smallest of the ranks' numbers. A collective.</summary>
    public long Least(long value) => GroupMemory.Gather(Group, [value]).Min(values => values[0]);

    /// <summary>The outputs of rows and, if it is wanted, their gradient.</summary>
    /// <param name="problem">The rows.</param>
    /// <param name="outputs">Where the results go.</param>
    /// <param name="gradient">Where the gradient goes; <c>default</c> for none.</param>
    /// <param name="states">Where the merged states go, <c>[..., 16]</c>.</param>
    /// <param name="firstState">The place of the first row's.</param>
    public void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient, Tensor states, long firstState)
    {
        ElementType arithmetic = problem.Logits.Type.Arithmetic();
        for (long first = 0; first < problem.Rows; first += _chunkRows)
        {
            TokenProblem part = problem.Part(first, Math.Min(_chunkRows, problem.Rows - first));
            Exchange(part, states, firstState + first);
            CallerWeighting.Finish(_kernel, part, outputs.From(first, arithmetic), gradient.From(first, arithmetic));
        }
    }

    /// <summary>The merged states of rows alone.</summary>
    /// <param name="problem">The rows.</param>
    /// <param name="states">Where the states go.</param>
    /// <param name="firstState">The place of the first row's.</param>
    public void Summarize(in TokenProblem problem, Tensor states, long firstState)
    {
        for (long first = 0; first < problem.Rows; first += _chunkRows)
        {
            Exchange(problem.Part(first, Math.Min(_chunkRows, problem.Rows - first)), states, firstState + first);
        }
    }

    private void Exchange(in TokenProblem problem, Tensor states, long first)
    {
        using DisposeScope scope = NewDisposeScope();
        RowState* merged = (RowState*)TensorMemory.Pointer(states) + first;
        _kernel.Summarize(problem with { OmitsEntropy = !_fields.Contains(StateFields.Entropy) }, merged);
        if (_kernel.IsAsynchronous)
        {
            ExchangeTensors(problem, states.narrow(0, first, problem.Rows));
            return;
        }

        long rows = problem.Rows;
        long packedRows = rows * _fields.Length;
        double* own = (double*)TensorMemory.Pointer(TensorMemory.Empty([packedRows * (Group.Size + 1)], ScalarType.Float64, CPU));
        double* all = own + packedRows;
        RowState* others = (RowState*)TensorMemory.Pointer(TensorMemory.Empty([rows, StateFields.Count], ScalarType.Float64, CPU));
        StateFields.Pack(merged, rows, _fields, own);
        Group.AllGather(own, all, packedRows * sizeof(double));
        StateFields.Unpack(all, rows, _fields, merged);
        for (int rank = 1; rank < Group.Size; rank++)
        {
            StateFields.Unpack(all + (rank * packedRows), rows, _fields, others);
            _kernel.Merge(problem, merged, others);
        }
    }

    /// <summary>The same where the host does not look at memory, by torch's operations.</summary>
    private void ExchangeTensors(in TokenProblem problem, Tensor merged)
    {
        Tensor fields = tensor(_fields.Select(static field => (long)field).ToArray()).to(merged.device);
        Tensor all = GroupMemory.Gather(Group, merged.index_select(1, fields));
        Tensor others = zeros_like(merged);
        merged.zero_().index_copy_(1, fields, all.select(0, 0));
        for (int rank = 1; rank < Group.Size; rank++)
        {
            others.index_copy_(1, fields, all.select(0, rank));
            _kernel.Merge(problem, (RowState*)TensorMemory.Pointer(merged), (RowState*)TensorMemory.Pointer(others));
        }
    }
}

/// <summary>What a loss on a shard gives its kernel.</summary>
internal readonly record struct ShardShape
{
    /// <summary>Columns of this rank.</summary>
    public required long Columns { get; init; }

    /// <summary>Bytes of a column in a row, the reference's included.</summary>
    public required long ElementBytes { get; init; }

    /// <summary>Storage of the logits.</summary>
    public required ElementType Type { get; init; }

    /// <summary>Whether something is read of a reference.</summary>
    public required bool HasReference { get; init; }

    /// <summary>Whether the per-token results are wanted.</summary>
    public required bool HasMetrics { get; init; }

    /// <summary>Whether a gradient of the shard is wanted.</summary>
    public required bool HasGradient { get; init; }

    /// <summary>Whether one of what the ranks share is.</summary>
    public bool HasHiddenGradient { get; init; }
}
