using Asft.Interop;
using static TorchSharp.torch;

namespace Asft.Distributed;

/// <summary>The gradients of some parameters of one dtype and device in one tensor, of which each is a view.</summary>
internal sealed class GradientBucket : IDisposable
{
    private readonly Tensor[] _parameters;
    private readonly Tensor[] _views;
    private readonly Tensor _all;

    /// <summary>Makes the gradients 0.</summary>
    public GradientBucket(IReadOnlyList<Tensor> parameters)
    {
        _parameters = [.. parameters];
        _all = zeros([parameters.Sum(static parameter => parameter.numel())], parameters[0].dtype, parameters[0].device).DetachFromDisposeScope();
        long first = 0;
        _views = [.. parameters.Select(parameter =>
        {
            using Tensor part = _all.narrow(0, first, parameter.numel());
            first += parameter.numel();
            Tensor view = part.view(parameter.shape).DetachFromDisposeScope();
            parameter.grad = view;
            return view;
        })];
    }

    /// <summary>Sums over the ranks.</summary>
    public unsafe void Sum(IProcessGroup group)
    {
        for (int i = 0; i < _parameters.Length; i++)
        {
            using Tensor? gradient = _parameters[i].grad;
            if (gradient is not null && TensorMemory.Pointer(gradient) == TensorMemory.Pointer(_views[i]))
            {
                continue;
            }

            _ = gradient is null ? _views[i].zero_() : _views[i].copy_(gradient);
            _parameters[i].grad = _views[i];
        }

        GroupMemory.Sum(group, _all);
    }

    /// <summary>Frees the gradients.</summary>
    public void Dispose()
    {
        for (int i = 0; i < _parameters.Length; i++)
        {
            if (!_parameters[i].IsInvalid)
            {
                _parameters[i].grad = null;
            }

            _views[i].Dispose();
        }

        _all.Dispose();
    }
}
