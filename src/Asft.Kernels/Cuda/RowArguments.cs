using System.Runtime.InteropServices;

namespace Asft.Kernels.Cuda;

/// <summary>
/// The parameter of the kernels that work on rows, laid out as in kernels/arguments.cuh, which explains it. Every field of eight bytes
/// lies at a multiple of eight, so that both compilers agree.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct RowArguments
{
    public long Rows;
    public long* Labels;
    public MatrixArgument Logits;
    public MatrixArgument Reference;
    public MatrixArgument Gradient;
    public double GradientScale;
    public void* Upstream;
    public long UpstreamStride;
    public void* Weights;
    public void* GivenWeights;
    public void* LabelLogProbabilities;
    public TopKArguments TopK;
    public void* UnlessOne;
    public OutputArguments Outputs;
    public ObjectiveArguments Objective;
    public ScalingArguments Scaling;
    public FaultWord* Fault;
    public void* Partials;
    public void* Coefficients;
    public RowState* States;
    public RowState* Others;
    public long FirstColumn;
    public long WholeVocabulary;
    public int Vocabulary;
    public int Parts;
    public int TilesPerPart;
    public int KeptTiles;
}

/// <summary>Rows of logits.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct MatrixArgument(in LogitMatrix matrix)
{
    public void* Data = matrix.Data;
    public long Stride = matrix.RowStride;
    public long* Offsets = matrix.RowOffsets;
    public int Type = (int)matrix.Type;
    public int Unused;
}

/// <summary>Per-token results.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct OutputArguments(in TokenOutputs outputs)
{
    public void* Loss = outputs.Loss;
    public void* LogProbability = outputs.LogProbability;
    public void* Weight = outputs.Weight;
    public void* Kl = outputs.Kl;
    public void* LogSumExp = outputs.LogSumExp;
    public void* ReferenceLogSumExp = outputs.ReferenceLogSumExp;
    public void* ReferenceLogProbability = outputs.ReferenceLogProbability;
    public void* Entropy = outputs.Entropy;
    public void* SquaredProbabilitySum = outputs.SquaredProbabilitySum;
    public long* Predicted = outputs.Predicted;
}

/// <summary>The most likely entries of the reference, and which way its divergence is taken.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct TopKArguments(TopKReference topK, KlDirection direction)
{
    public long* Indices = topK.Indices;
    public void* LogProbabilities = topK.LogProbabilities;
    public int Count = topK.Count;
    public int IsForward = direction == KlDirection.Forward ? 1 : 0;
}

/// <summary>The objective, for a vocabulary of so many.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ObjectiveArguments(LossObjective objective, long vocabulary)
{
    public double WeightExponent = objective.WeightExponent;
    public double WeightMin = objective.WeightMin;
    public double WeightMax = objective.WeightMax;
    public double KlWeight = objective.KlWeight;
    public double LabelSmoothing = objective.LabelSmoothing;
    public double LogitScale = objective.LogitScale;
    public double Softcap = objective.LogitSoftcap;
    public double ZLossWeight = objective.ZLossWeight;
    public double WeightComplementExponent = objective.WeightComplementExponent;
    public double NllWeight = objective.NllWeight;
    public double EntropyScale = objective.EntropyScale;
    public long IgnoreIndex = objective.IgnoreIndex;
    public int Weighting = (int)objective.Weighting;
    public int WeightBound = (int)objective.WeightBound;
    public int KlEstimator = (int)objective.KlEstimator;
    public int MayWeighMuch = objective.KlWeight > KernelConstants.LargeFactor || ChangeOfWeight(objective, vocabulary) > KernelConstants.LargeFactor ? 1 : 0;

    /// <summary>The largest weight that may come of the objective or, if that is more, by how much a change of what it is made of may be multiplied.</summary>
    private static double ChangeOfWeight(LossObjective objective, long vocabulary) => objective.Weighting switch
    {
        TokenWeighting.Probability => objective.WeightExponent + objective.WeightComplementExponent,
        TokenWeighting.ImportanceRatio => objective.WeightMax,
        TokenWeighting.Entropy => Math.Max(
            objective.WeightExponent,
            Math.Min(objective.WeightMax, Math.Pow(Math.Log(vocabulary) / objective.EntropyScale, objective.WeightExponent))), // no entropy is above that of equal logits
        _ => 1,
    };
}

/// <summary>How logits become arguments of exponentials in base 2.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ScalingArguments
{
    /// <summary>How far, in base 2, a logit may rise above the point that exponentials are measured from before the point moves.</summary>
    private const double SlackBits = 8;

    public double Factor;
    public double Base2;
    public double Inner;
    public double Slack;
    public float Base2Single;
    public float SlackSingle;
    public SoftcapArguments Softcap;
    public float NearestLogit;

    public ScalingArguments(LossObjective objective)
    {
        bool capped = objective.LogitSoftcap > 0;
        Factor = capped ? objective.LogitSoftcap : objective.LogitScale;
        Inner = capped ? objective.LogitScale / objective.LogitSoftcap : 1;
        Base2 = Factor * Math.Log2(Math.E);
        Slack = SlackBits / Base2;
        Base2Single = Single(Base2);
        SlackSingle = Single(Slack);
        Softcap = new SoftcapArguments(Inner, Slack);
        NearestLogit = Softcap.Unit == 1 ? Softcap.NearestSingle : -1;
    }

    /// <summary>In float32, neither 0 nor infinite: one would make NaN of a masked logit, the other of a logit of 0.</summary>
    /// <param name="value">A number above 0.</param>
    /// <returns>The nearest that is neither.</returns>
    public static float Single(double value) => (float)Math.Clamp(value, float.Epsilon, float.MaxValue);
}

/// <summary>tanh(inner*x) in float32, as kernels/softcap.cuh computes it.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct SoftcapArguments
{
    /// <summary>Up to where the polynomial is tanh, within 8e-8 of itself.</summary>
    private const double Nearest = 0.6;

    /// <summary>Up to this factor and down to its inverse, what the factors of the polynomial become is a number of float32.</summary>
    private const double LargestScale = 1 << 14;

    public float Unit;
    public float NearestSingle;
    public float Exponent;
    public float Slack;
    public float Curve0;
    public float Curve1;
    public float Curve2;
    public float Curve3;
    public float Curve4;

    public SoftcapArguments(double inner, double slack)
    {
        bool isUsual = inner is >= 1 / LargestScale and <= LargestScale;
        double scale = isUsual ? inner : 1;
        double square = scale * scale;
        Unit = isUsual ? 1 : ScalingArguments.Single(inner);
        NearestSingle = (float)(Nearest / scale);
        Exponent = (float)(2 * Math.Log2(Math.E) * scale);
        Slack = ScalingArguments.Single(slack / inner);

        // tanh(u)/u in powers of u², best in the largest relative error up to Nearest (Remez).
        Curve0 = (float)(0.9999999269 * scale);
        Curve1 = (float)(-0.3333230997 * scale * square);
        Curve2 = (float)(0.1331017366 * scale * square * square);
        Curve3 = (float)(-0.05210148012 * scale * square * square * square);
        Curve4 = (float)(0.0154754275 * scale * square * square * square * square);
    }
}

/// <summary>The first label out of range that the device met.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FaultWord
{
    public ulong State;
    public long Row;
    public long Label;
    public long Vocabulary;
}

/// <summary>The parameter of the kernel "count", laid out as in kernels/reductions.cu.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct CountArguments
{
    public long* Labels;
    public long Rows;
    public long IgnoreIndex;
    public double* Denominator;
    public long* Counted;
    public void* Factor;
    public int IsMean;
    public int IsDouble;
}

/// <summary>The parameter of the kernel "total", laid out as in kernels/reductions.cu.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct TotalArguments
{
    public void* Losses;
    public long Rows;
    public void* Factor;
    public void* Total;
    public int IsDouble;
    public int Unused;
}
