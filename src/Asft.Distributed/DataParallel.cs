using Asft.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Distributed;

/// <summary>
/// Training of one model on several ranks, each of which has another part of every batch: the gradients of all are summed before a step, so that all
/// ranks take the same one, and it is the step that one process with the whole batch would take.
/// </summary>
/// <remarks>
/// <para>
/// A mean over all tokens is no mean of the ranks' means, whose parts have different numbers of tokens. So each rank's loss is divided by the tokens of
/// all, which <see cref="TokenCount(Tensor, long)"/> counts, and gradients are added as they are. An ordinary loop becomes
/// </para>
/// <code>
/// using IProcessGroup group = ProcessGroup.Join();
/// using var parallel = new DataParallel(group, model.parameters());
/// foreach (Batch whole in batches)
/// {
///     Batch batch = whole.Part(parallel.Part(whole.Count));
///     optimizer.zero_grad();
///     Tensor loss = AsftFunctional.asft_loss(model.forward(batch.Tokens), batch.Labels, tokenCount: parallel.TokenCount(batch.Labels));
///     loss.backward();
///     parallel.SumGradients();
///     optimizer.step();
/// }
///
/// group.Complete();
/// </code>
/// <para>
/// Gradients lie one after the other in buckets of some megabytes, of which each parameter's <c>grad</c> is a view: nothing is copied to be summed.
/// Sums are in the order of ranks, so the same ranks get the same bits each time, and all of them the same.
/// </para>
/// </remarks>
public sealed class DataParallel : IDisposable
{
    private readonly IProcessGroup _group;
    private readonly List<GradientBucket> _buckets = [];

    /// <summary>Gives every rank the parameters of rank 0, and their gradients a place. A collective.</summary>
    /// <param name="group">The ranks.</param>
    /// <param name="parameters">
    /// The model's parameters, in the same order on every rank. Those that do not require grad are given to all ranks, and have no gradient. Buffers,
    /// such as running means, are parameters of this too where ranks must have them alike.
    /// </param>
    /// <param name="bucketBytes">The size of a bucket, above 0; a larger parameter has one for itself.</param>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">A parameter that requires grad has a dtype that no gradient can have, or is not contiguous.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bucketBytes"/> is not above 0.</exception>
    /// <exception cref="InvalidOperationException">The ranks have different parameters: every rank throws then.</exception>
    public DataParallel(IProcessGroup group, IEnumerable<Tensor> parameters, long bucketBytes = 32 << 20)
    {
        ArgumentNullException.ThrowIfNull(group);
        ArgumentNullException.ThrowIfNull(parameters);
        if (bucketBytes <= 0)
        {
            throw new ArgumentOutOfRangeException(nameof(bucketBytes), Invariant($"bucketBytes must be above 0; got {bucketBytes}."));
        }

        _group = group;
        Tensor[] all = [.. parameters];
        Tensor[] trained = [.. all.Where(static parameter => parameter.requires_grad)];
        foreach (Tensor parameter in trained)
        {
            if (TensorMemory.TypeOf(parameter) is null || !parameter.is_contiguous())
            {
                throw new ArgumentException(
                    $"A parameter that requires grad must be contiguous, and float32, bfloat16, float16 or float64; got {TensorMemory.Describe(parameter)}.",
                    nameof(parameters));
            }
        }

        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        CheckAlike(group, all);
        foreach (Tensor parameter in all)
        {
            Tensor value = parameter.detach().contiguous();
            GroupMemory.Broadcast(group, value, root: 0);
            if (!parameter.is_contiguous())
            {
                parameter.detach().copy_(value);
            }
        }

        // In the order of the parameters, and of one dtype and device each.
        foreach (IGrouping<(ScalarType, string), Tensor> kind in trained.GroupBy(static parameter => (parameter.dtype, parameter.device.ToString())))
        {
            List<Tensor> next = [];
            long bytes = 0;
            foreach (Tensor parameter in kind)
            {
                long size = parameter.numel() * parameter.element_size();
                if (bytes + size > bucketBytes && next.Count > 0)
                {
                    _buckets.Add(new GradientBucket(next));
                    (next, bytes) = ([], 0);
                }

                next.Add(parameter);
                bytes += size;
            }

            _buckets.Add(new GradientBucket(next));
        }
    }

    /// <summary>The part of a batch, or of any other list, that is this rank's: as many as another rank's, or one more.</summary>
    /// <param name="count">How many there are in all, at least 0, the same number on every rank.</param>
    /// <returns>
    /// A range. The ranks' ranges follow one another, so that a data order that all ranks make from one seed is split without gaps; where there are
    /// fewer than ranks, some are empty, and those ranks take part in the collectives without a loss.
    /// </returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is negative.</exception>
    public Range Part(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        (long first, long length) = EvenParts.Of(count, _group.Size, _group.Rank);
        return (int)first..(int)(first + length);
    }

    /// <summary>
    /// The number of tokens that count on all ranks, for <c>tokenCount</c> of a loss. A collective; with gradient accumulation, one call for
    /// each part of the batch, and the sum of the results for all of them.
    /// </summary>
    /// <param name="labels">This rank's labels, as the loss takes them (with <c>shiftLabels</c>, those without the first position); null for none.</param>
    /// <param name="ignoreIndex">The label of tokens that count for nothing.</param>
    /// <returns>A tensor of one float64 element on the device of the labels, at least 1: without any token, a mean is 0 in any case.</returns>
    public Tensor TokenCount(Tensor? labels, long ignoreIndex = -100)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Tensor counted = labels is null ? zeros([], ScalarType.Float64) : labels.ne(ignoreIndex).sum().to(ScalarType.Float64);
        GroupMemory.Sum(_group, counted);
        return counted.clamp_min_(1).MoveToOuterDisposeScope();
    }

    /// <summary>The sum of a value of all ranks, for example of a loss, which each has its part of. A collective.</summary>
    /// <param name="value">This rank's, a tensor of any shape and a floating dtype, the same on all ranks. It is not changed.</param>
    /// <returns>A new tensor, without a graph.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="value"/> is null.</exception>
    /// <exception cref="ArgumentException">It has another dtype.</exception>
    public Tensor Sum(Tensor value)
    {
        ArgumentNullException.ThrowIfNull(value);
        if (TensorMemory.TypeOf(value) is null)
        {
            throw new ArgumentException($"value must be float32, bfloat16, float16 or float64; got {TensorMemory.Describe(value)}.", nameof(value));
        }

        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Tensor sum = TensorMemory.Empty(value.shape, value.dtype, value.device).copy_(value);
        GroupMemory.Sum(_group, sum);
        return sum.MoveToOuterDisposeScope();
    }

    /// <summary>
    /// Makes every parameter's gradient the sum of all ranks', before it is clipped or used. A collective. A parameter that has no gradient on a rank
    /// counts as 0 there; where something has put a gradient in the place of the bucket's view, it is copied into it.
    /// </summary>
    public void SumGradients()
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        _buckets.ForEach(bucket => bucket.Sum(_group));
    }

    /// <summary>Frees the buckets; the parameters have no gradient then.</summary>
    public void Dispose() => _buckets.ForEach(static bucket => bucket.Dispose());

    /// <summary>Compares the parameters before anything of them is exchanged.</summary>
    private static void CheckAlike(IProcessGroup group, Tensor[] parameters)
    {
        long own = Checksum.Of([.. parameters.SelectMany(static parameter =>
            (long[])[parameter.dim(), .. parameter.shape, (long)parameter.dtype, parameter.requires_grad ? 1 : 0])]);
        long[][] all = GroupMemory.Gather(group, [own, parameters.Length]);
        if (Array.FindIndex(all, rank => !rank.AsSpan().SequenceEqual(all[0])) is > 0 and int other)
        {
            throw new InvalidOperationException(Invariant(
                $"Rank {other} has other parameters than rank 0: {all[other][1]} and {all[0][1]} of them, and their shapes, dtypes or requires_grad in order differ."));
        }
    }
}
