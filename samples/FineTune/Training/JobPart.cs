using Asft.Distributed;
using Asft.Interop;
using FineTune.Model;
using FineTune.Problems;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Training;

/// <summary>
/// This process's part in training a model. Every rank has the whole model; all of them make the same steps, as what each lacks is summed over the ranks:
/// the gradients of the other examples, or of the head's other rows.
/// </summary>
internal sealed class JobPart : IDisposable
{
    private readonly DataParallel parallel;
    private readonly bool divides;
    private readonly long columns;

    public JobPart(Job job, LanguageModel model)
    {
        divides = job.Division == Division.Batches;
        parallel = new DataParallel(job.Group, divides ? model.parameters() : model.Head.parameters());
        if (!divides)
        {
            (Shard, columns) = VocabularyShard.Even(job.Group, model.Shape.Vocabulary);
        }
    }

    /// <summary>This rank's rows of the head; null where it has them all.</summary>
    public VocabularyShard? Shard { get; }

    /// <summary>This rank's examples of a batch, which may be none.</summary>
    public IReadOnlyList<Example> Examples(Example[] batch) => divides ? batch[parallel.Part(batch.Length)] : batch;

    /// <summary>What a mean is over: the counted tokens of all ranks; null for those of the batch.</summary>
    public Tensor? TokenCount(Batch? batch) => !divides ? null
        : parallel.TokenCount(batch?.Labels.narrow(1, 1, batch.Labels.size(1) - 1), Batch.Ignored); // shifted, the first label is not read

    /// <summary>The rows of a head that the loss takes.</summary>
    public Tensor Rows(Linear head) => head.weight!.narrow(0, Shard!.FirstColumn, columns);

    /// <summary>Adds the gradients of the ranks.</summary>
    public void SumGradients() => parallel.SumGradients();

    /// <summary>The loss of the whole batch.</summary>
    public Tensor Total(Tensor loss) => divides ? parallel.Sum(loss) : loss;

    public void Dispose() => parallel.Dispose();
}
