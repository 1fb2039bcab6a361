using Asft.Interop;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Distributed.Ranks;

/// <summary>The figures of docs/distributed.md: to be run by hand, on a machine that does nothing else.</summary>
internal static class Measurements
{
    private const int Tokens = 1024;
    private const int Vocabulary = 32_000;
    private const int Repeats = 30;

    public static void Run(IProcessGroup group)
    {
        var measured = new MeasuredGroup(group);
        foreach ((string name, LossObjective objective) in ((string, LossObjective)[])
            [("SFT", LossObjective.Sft), ("ASFT", LossObjective.Asft()), ("SFT+KL reverse", LossObjective.SftKl(0.1) with { KlDirection = KlDirection.Reverse })])
        {
            foreach (ScalarType type in (ScalarType[])[ScalarType.Float32, ScalarType.BFloat16])
            {
                Measure(measured, objective, type, FormattableString.Invariant($"{name} [{Tokens}, {Vocabulary}] {type}"));
            }
        }
    }

    /// <summary>The whole vocabulary on one rank, a shard without its exchanges, and a shard with them, in turn.</summary>
    private static void Measure(MeasuredGroup group, LossObjective objective, ScalarType type, string name)
    {
        using var scope = NewDisposeScope();
        (VocabularyShard shard, long columns) = VocabularyShard.Even(group, Vocabulary);
        manual_seed(1);
        Tensor source = randn(Tokens, Vocabulary, type).requires_grad_();
        Tensor? reference = objective.NeedsReference ? randn(Tokens, Vocabulary, type) : null;
        Tensor sourceShard = source.narrow(1, shard.FirstColumn, columns).contiguous();
        Tensor? referenceShard = reference?.narrow(1, shard.FirstColumn, columns).contiguous();
        Tensor labels = randint(0, Vocabulary, [Tokens]);
        List<double> whole = [];
        List<double> own = [];
        List<double> all = [];
        for (int i = 0; i < Repeats; i++)
        {
            whole.Add(Step(source, reference, null));
            group.IsAlone = true;
            own.Add(Step(sourceShard, referenceShard, shard));
            group.IsAlone = false;
            all.Add(Step(sourceShard, referenceShard, shard));
        }

        Console.WriteLine(FormattableString.Invariant(
            $"rank {group.Rank}: {name}: whole {Text(whole)}; shard {Text(own)} of its own, {own.Min() / whole.Min():F2} x; {Text(all)} with {group.Count} collectives of {group.Bytes} bytes"));

        double Step(Tensor from, Tensor? reference, VocabularyShard? shard)
        {
            using var inner = NewDisposeScope();
            Tensor logits = from.clone();
            group.Barrier();
            group.Reset();
            double before = MeasuredGroup.ThreadMilliseconds;
            AsftFunctional.asft_loss(logits, labels, reference, objective, inPlace: true, shard: shard);
            return MeasuredGroup.ThreadMilliseconds - before - group.Milliseconds;
        }
    }

    private static string Text(List<double> milliseconds) =>
        FormattableString.Invariant($"{milliseconds.Order().ElementAt(milliseconds.Count / 2):F1} ms (least {milliseconds.Min():F1})");
}
