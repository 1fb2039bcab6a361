using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>Checks the values of what was kept of a reference, in host memory, at the tokens that count. NaN passes: it makes its row NaN.</summary>
/// <param name="inputs">What is checked.</param>
/// <param name="arguments">The arguments of the loss.</param>
/// <param name="stored">The dtype that the caller has the log-probabilities in.</param>
/// <param name="parameter">What the caller calls the reference.</param>
internal readonly unsafe struct LogProbabilityCheck(TokenInputs inputs, TokenArguments arguments, ScalarType stored, string parameter)
{
    /// <summary>By how much rounding may lift a log-probability above 0, or a sum of probabilities above 1: of a logarithm, some units of its type.</summary>
    private readonly double _rounding = stored switch { ScalarType.BFloat16 => 1.0 / 16, ScalarType.Float16 => 1.0 / 128, _ => 1e-4 };

    /// <summary>Checks the log-probabilities of the labels.</summary>
    public void Labels(Tensor logs)
    {
        for (long token = 0; token < inputs.Count; token++)
        {
            if (inputs.Counts(token, arguments.Objective.IgnoreIndex))
            {
                CheckLog(parameter + ".LabelLogProbabilities", Read(logs, token), token);
            }
        }
    }

    /// <summary>Checks entries.</summary>
    public void Entries(Tensor indices, Tensor logs, long vocabulary)
    {
        int count = (int)indices.size(-1);
        long* index = (long*)TensorMemory.PointerOrNull(indices);
        long[] sorted = new long[count];
        for (long token = 0; token < inputs.Count; token++)
        {
            if (!inputs.Counts(token, arguments.Objective.IgnoreIndex))
            {
                continue;
            }

            double sum = 0;
            for (int k = 0; k < count; k++)
            {
                long at = (token * count) + k;
                sorted[k] = index[at];
                if ((ulong)index[at] >= (ulong)vocabulary)
                {
                    throw Refusal("indices", token, k, Invariant($"{index[at]}, which is not in [0, {vocabulary})"));
                }

                double log = Read(logs, at);
                CheckLog(parameter + ".TopK log-probabilities", log, token, k);
                sum += Math.Exp(log);
            }

            Array.Sort(sorted);
            for (int k = 1; k < count; k++)
            {
                if (sorted[k] == sorted[k - 1])
                {
                    throw Refusal("indices", token, null, Invariant($"a row with {sorted[k]} twice"));
                }
            }

            if (sum > 1 + _rounding)
            {
                throw Refusal("log-probabilities", token, null, Invariant($"a row whose probabilities sum to {sum:R}, above 1"));
            }
        }
    }

    private void CheckLog(string name, double log, long token, int? entry = null)
    {
        if (log > _rounding)
        {
            throw new ArgumentOutOfRangeException(
                parameter, log, Invariant($"{Place(name, token, entry)} is {log:R}; a log-probability is at most 0."));
        }
    }

    private ArgumentException Refusal(string what, long token, int? entry, string why) =>
        new($"{Place(parameter + ".TopK " + what, token, entry)} is {why}.", parameter);

    private string Place(string name, long token, int? entry)
    {
        string place = inputs.Labels.Position(name, token, arguments.ShiftLabels);
        return entry is null ? place : Invariant($"{place}[{entry}]");
    }

    private static double Read(Tensor tensor, long element) =>
        ScalarElement.Read(TensorMemory.Pointer(tensor), TensorMemory.TypeOf(tensor)!.Value, element);
}
