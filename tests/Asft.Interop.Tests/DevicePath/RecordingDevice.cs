using System.Globalization;
using Asft.Kernels;

namespace Asft.Interop.Tests.DevicePath;

/// <summary>
/// A device that computes nothing and writes down what it is asked. For tensors on torch's meta device, which have shapes but no
/// contents: there is no address to pass on, and whoever wants to know a value gets an exception.
/// </summary>
internal sealed unsafe class RecordingDevice : ITokenLossKernel
{
    private readonly List<string> _calls = [];

    public string Name => "recording device";

    public bool IsAsynchronous => true;

    /// <summary>What was asked, without the arguments.</summary>
    public string[] Calls => [.. _calls];

    public void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient) =>
        Note("Forward", problem.Rows, gradient);

    public void Summarize(in TokenProblem problem, RowState* states, in TokenGradient gradient = default) =>
        Note("Summarize", problem.Rows, default);

    public void Merge(in TokenProblem problem, RowState* states, RowState* others) => Note("Merge", problem.Rows, default);

    public void Finish(in TokenProblem problem, in TokenOutputs outputs) => Note("Finish", problem.Rows, default);

    public void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient) =>
        Note("Backward", problem.Rows, gradient);

    public void BackwardUnlessOne(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient, void* unlessOne) =>
        Note("BackwardUnlessOne", problem.Rows, gradient);

    public void Rescale(in TokenProblem problem, in TokenGradient gradient) => Note("Rescale", problem.Rows, gradient);

    public void Count(in TokenCounting count) => Note(count.IsMean ? "Count for mean" : "Count", count.Rows, default);

    public void Total(void* losses, long rows, ElementType type, void* factor, void* total) => Note("Total", rows, default);

    public void ThrowIfFaulted()
    {
    }

    /// <summary>A host that knows the number of tokens would have put it into the scale.</summary>
    private void Note(string call, long rows, in TokenGradient gradient) => _calls.Add(
        string.Create(CultureInfo.InvariantCulture, $"{call}({rows}){(gradient.Scale is 0 or 1 ? string.Empty : $" scaled by {gradient.Scale}")}"));
}
