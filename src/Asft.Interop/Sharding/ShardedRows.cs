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
    /// <summary>Bytes of logits, and of what is kept of 16-bit ones, that a thread's share of the cache holds until the gradient.</summary>
    private const long ChunkBytes = 1 << 18;

    private readonly ITokenLossKernel _kernel;
    private readonly StateFields _fields;
    private readonly long _chunkRows;

    private ShardedRows(ITokenLossKernel kernel, VocabularyShard shard, StateFields fields, long chunkRows)
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

        int kept = shape.HasGradient && shape.Type.Arithmetic() != shape.Type ? sizeof(float) : 0;
        long rowBytes = shape.Columns * (shape.ElementBytes + kept);
        long chunk = kernel.IsAsynchronous ? Math.Max(1, inputs.Count) : Math.Max(1, ChunkBytes * get_num_threads() / rowBytes);
        var fields = new StateFields(
            asked.Objective, shape.HasReference, inputs.Entries is not null && shape.HasReference, shape.HasMetrics, asked.Weighting is not null);
        var agreement = new ShardAgreement(shard, shape.Columns, chunk);
        agreement.Add("a number of rows of", inputs.Count);
        agreement.Add("logits of dtype", (long)shape.Type);
        agreement.Add("a reduction", (long)asked.Reduction);
        agreement.Add("gradients (bits: logits or weights, hidden states)", (shape.HasGradient ? 1 : 0) + (shape.HasHiddenGradient ? 2 : 0));
        agreement.Add("kind of reference, metrics or weighting", fields.Sent.Select(field => (long)field).ToArray());
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
        using var kept = new KeptExponentials();
        using Room room = new(this, problem.Rows);
        TokenGradient wanted = gradient with { Kept = kept };
        for (long first = 0; first < problem.Rows; first += _chunkRows)
        {
            TokenProblem part = problem.Part(first, Math.Min(_chunkRows, problem.Rows - first));
            TokenGradient own = wanted.From(first, arithmetic);
            Exchange(part, states, firstState + first, own, room);
            CallerWeighting.Finish(_kernel, part, outputs.From(first, arithmetic), own);
        }
    }

    /// <summary>The merged states of rows alone.</summary>
    /// <param name="problem">The rows.</param>
    /// <param name="states">Where the states go.</param>
    /// <param name="firstState">The place of the first row's.</param>
    public void Summarize(in TokenProblem problem, Tensor states, long firstState)
    {
        using Room room = new(this, problem.Rows);
        for (long first = 0; first < problem.Rows; first += _chunkRows)
        {
            Exchange(problem.Part(first, Math.Min(_chunkRows, problem.Rows - first)), states, firstState + first, default, room);
        }
    }

    private void Exchange(in TokenProblem problem, Tensor states, long first, in TokenGradient gradient, Room room)
    {
        RowState* merged = (RowState*)TensorMemory.Pointer(states) + first;
        _kernel.Summarize(problem with { OmitsMetrics = !_fields.HasMetrics }, merged, gradient);
        if (_kernel.IsAsynchronous)
        {
            using DisposeScope scope = NewDisposeScope();
            ExchangeTensors(problem, states.narrow(0, first, problem.Rows));
            return;
        }

        int rows = (int)problem.Rows;
        long packedRows = (long)rows * _fields.Sent.Length;
        StateFields.Pack(merged, rows, _fields.Sent, room.Own);
        StateFields.Pack(merged, rows, _fields.Local, room.Local);
        Group.AllGather(room.Own, room.All, packedRows * sizeof(double));
        new Span<RowState>(merged, rows).Clear();
        StateFields.Unpack(room.All, rows, _fields.Sent, merged);
        for (int rank = 1; rank < Group.Size; rank++)
        {
            StateFields.Unpack(room.All + (rank * packedRows), rows, _fields.Sent, room.Other);
            _kernel.Merge(problem, merged, room.Other);
        }

        StateFields.Unpack(room.Local, rows, _fields.Local, merged);
    }

    /// <summary>The same where the host does not look at memory, by torch's operations.</summary>
    private void ExchangeTensors(in TokenProblem problem, Tensor merged)
    {
        Tensor sent = StateFields.Indices(_fields.Sent, merged.device);
        Tensor local = StateFields.Indices(_fields.Local, merged.device);
        Tensor kept = merged.index_select(1, local);
        Tensor all = GroupMemory.Gather(Group, merged.index_select(1, sent));
        Tensor others = zeros_like(merged);
        merged.zero_().index_copy_(1, sent, all.select(0, 0));
        for (int rank = 1; rank < Group.Size; rank++)
        {
            others.index_copy_(1, sent, all.select(0, rank));
            _kernel.Merge(problem, (RowState*)TensorMemory.Pointer(merged), (RowState*)TensorMemory.Pointer(others));
        }

        merged.index_copy_(1, local, kept);
    }

    /// <summary>Memory for the exchanges of a chunk on the host, one after the other.</summary>
    private sealed class Room : IDisposable
    {
        private readonly HostMemory? _memory;

        public Room(ShardedRows sharded, long rows)
        {
            rows = Math.Min(rows, sharded._chunkRows);
            if (sharded._kernel.IsAsynchronous || rows == 0)
            {
                return;
            }

            (long sent, long local, int size) = (rows * sharded._fields.Sent.Length, rows * sharded._fields.Local.Length, sharded.Group.Size);
            _memory = new HostMemory((((size + 1) * sent) + local + (rows * StateFields.Count)) * sizeof(double));
            Own = (double*)_memory.Pointer;
            All = Own + sent;
            Local = All + (size * sent);
            Other = (RowState*)(Local + local);
            new Span<RowState>(Other, (int)rows).Clear(); // what is not sent stays 0
        }

        /// <summary>What this rank sends.</summary>
        public double* Own { get; }

        /// <summary>What all ranks have sent.</summary>
        public double* All { get; }

        /// <summary>What this rank keeps to itself.</summary>
        public double* Local { get; }

        /// <summary>The states of another rank.</summary>
        public RowState* Other { get; }

        public void Dispose() => _memory?.Dispose();
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
