using System.Buffers;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>Checks the values of what was kept of a reference, in host memory, at the tokens that count. NaN passes: it makes its row NaN.</summary>
internal readonly unsafe struct LogProbabilityCheck
{
    private readonly TokenInputs _inputs;
    private readonly TokenArguments _arguments;
    private readonly string _parameter;
    private readonly void* _logs;
    private readonly ElementType _type;
    private readonly double _rounding;

    /// <summary>Prepares the check.</summary>
    /// <param name="inputs">What is checked.</param>
    /// <param name="arguments">The arguments of the loss.</param>
    /// <param name="logs">The log-probabilities, in the dtype of the arithmetic.</param>
    /// <param name="stored">The dtype that the caller has them in.</param>
    /// <param name="parameter">What the caller calls the reference.</param>
    public LogProbabilityCheck(TokenInputs inputs, TokenArguments arguments, Tensor logs, ScalarType stored, string parameter)
    {
        _inputs = inputs;
        _arguments = arguments;
        _parameter = parameter;
        _logs = TensorMemory.Pointer(logs);
        _type = TensorMemory.TypeOf(logs)!.Value;

        // By how much rounding may lift a log-probability above 0, or a sum of probabilities above 1: some units of a logarithm's last digit.
        _rounding = stored switch { ScalarType.BFloat16 => 1.0 / 16, ScalarType.Float16 => 1.0 / 128, _ => 1e-4 };
    }

    /// <summary>Checks the log-probabilities of the labels.</summary>
    public void Labels()
    {
        for (long token = 0; token < _inputs.Count; token++)
        {
            if (_inputs.Counts(token, _arguments.Objective.IgnoreIndex))
            {
                CheckLog(".LabelLogProbabilities", ScalarElement.Read(_logs, _type, token), token);
            }
        }
    }

    /// <summary>Checks entries.</summary>
    /// <param name="indices">Their indices, int64.</param>
    /// <param name="vocabulary">Vocabulary size V.</param>
    public void Entries(Tensor indices, long vocabulary)
    {
        int count = (int)indices.size(-1);
        long* index = (long*)TensorMemory.Pointer(indices);
        long[] seen = ArrayPool<long>.Shared.Rent(checked((int)vocabulary)); // at each index, the last token that had it, plus 1
        try
        {
            Array.Clear(seen);
            for (long token = 0; token < _inputs.Count; token++)
            {
                if (_inputs.Counts(token, _arguments.Objective.IgnoreIndex))
                {
                    CheckEntries(token, index + (token * count), count, seen, vocabulary);
                }
            }
        }
        finally
        {
            ArrayPool<long>.Shared.Return(seen);
        }
    }

    private void CheckEntries(long token, long* index, int count, long[] seen, long vocabulary)
    {
        double sum = 0;
        for (int k = 0; k < count; k++)
        {
            if ((ulong)index[k] >= (ulong)vocabulary)
            {
                throw Refusal("indices", token, k, Invariant($"{index[k]}, which is not in [0, {vocabulary})"));
            }

            if (seen[index[k]] == token + 1)
            {
                throw Refusal("indices", token, null, Invariant($"a row with {index[k]} twice"));
            }

            seen[index[k]] = token + 1;
            double log = ScalarElement.Read(_logs, _type, (token * count) + k);
            CheckLog(".TopK log-probabilities", log, token, k);
            sum += MathF.Exp((float)log);
        }

        if (sum > 1 + _rounding)
        {
            throw Refusal("log-probabilities", token, null, Invariant($"a row whose probabilities sum to {sum:R}, above 1"));
        }
    }

    private void CheckLog(string name, double log, long token, int? entry = null)
    {
        if (log > _rounding)
        {
            throw new ArgumentOutOfRangeException(
                _parameter, log, Invariant($"{Place(name, token, entry)} is {log:R}; a log-probability is at most 0."));
        }
    }

    private ArgumentException Refusal(string what, long token, int? entry, string why) =>
        new($"{Place(".TopK " + what, token, entry)} is {why}.", _parameter);

    private string Place(string name, long token, int? entry)
    {
        string place = _inputs.Labels.Position(_parameter + name, token, _arguments.ShiftLabels);
        return entry is null ? place : Invariant($"{place}[{entry}]");
    }
}
