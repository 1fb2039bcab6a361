using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>The number of counted tokens: known already, or on a device, to be waited for when somebody wants to know.</summary>
internal sealed class TokenCount : IDisposable
{
    private readonly ITokenLossKernel? _kernel;
    private readonly Tensor? _onDevice;
    private long _value;
    private bool _isKnown;

    /// <summary>A known number.</summary>
    public TokenCount(long value)
    {
        _value = value;
        _isKnown = true;
    }

    /// <summary>A number on a device.</summary>
    /// <param name="onDevice">One int64 element.</param>
    /// <param name="kernel">The kernel that counts it.</param>
    public TokenCount(Tensor onDevice, ITokenLossKernel kernel)
    {
        _onDevice = onDevice;
        _kernel = kernel;
    }

    /// <summary>The number; the first look at one on a device waits for the device.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The device found a label out of range.</exception>
    /// <exception cref="ObjectDisposedException">The number was on a device, never looked at, and disposed.</exception>
    public long Value
    {
        get
        {
            if (!_isKnown)
            {
                ObjectDisposedException.ThrowIf(_onDevice!.IsInvalid, typeof(AsftLossResult));
                using (no_grad())
                {
                    _value = (long)TensorMemory.First(_onDevice);
                }

                _kernel!.ThrowIfFaulted(); // the kernels that look at labels were done before the count got here
                _isKnown = true;
            }

            return _value;
        }
    }

    /// <summary>Gives a number on a device to the scope around the current one.</summary>
    public void MoveToOuterDisposeScope() => _onDevice?.MoveToOuterDisposeScope();

    /// <summary>Disposes of a number on a device.</summary>
    public void Dispose() => _onDevice?.Dispose();
}
