using System.Runtime.InteropServices;
using Asft.Kernels.Ilgpu.OnDevice;

namespace Asft.Kernels.Ilgpu;

/// <summary>
/// The per-row scalars of a chunk, on both sides: the device's <see cref="DeviceRowState{T}"/> and <see cref="RowGradient{T}"/>, of
/// float32 or float64, as doubles.
/// </summary>
internal sealed unsafe class RowScalars(DeviceMemory sums, DeviceMemory gradients) : IDisposable
{
    private void* _sums;
    private void* _gradients;
    private int _capacity;
    private bool _wide;
    private int _rows;

    /// <summary>The sums on the device.</summary>
    public DeviceMemory Sums => sums;

    /// <summary>The gradient's coefficients on the device.</summary>
    public DeviceMemory Gradients => gradients;

    private int SumsSize => _wide ? sizeof(DeviceRowState<double>) : sizeof(DeviceRowState<float>);

    private int GradientSize => _wide ? sizeof(RowGradient<double>) : sizeof(RowGradient<float>);

    /// <summary>Makes room for the rows of a chunk.</summary>
    /// <param name="rows">How many.</param>
    /// <param name="wide">Whether the arithmetic is in float64.</param>
    public void Prepare(int rows, bool wide)
    {
        _rows = rows;
        _wide = wide;
        if (rows > _capacity)
        {
            Free();
            _sums = NativeMemory.Alloc((nuint)rows, (nuint)sizeof(DeviceRowState<double>));
            _gradients = NativeMemory.Alloc((nuint)rows, (nuint)sizeof(RowGradient<double>));
            _capacity = rows;
        }

        sums.Reserve((long)rows * SumsSize);
        gradients.Reserve((long)rows * GradientSize);
    }

    /// <summary>Reads the sums; they are there when the stream has been waited for.</summary>
    public void FetchSums()
    {
        long bytes = (long)_rows * SumsSize;
        sums.Fetch(bytes);
        sums.Read(0, _sums, bytes);
    }

    /// <summary>The sums of a row of the chunk.</summary>
    public DeviceRowState<double> this[int row]
    {
        get
        {
            if (_wide)
            {
                return ((DeviceRowState<double>*)_sums)[row];
            }

            DeviceRowState<float> narrow = ((DeviceRowState<float>*)_sums)[row];
            return new DeviceRowState<double>
            {
                Max = narrow.Max,
                Sum = narrow.Sum,
                ReferenceMax = narrow.ReferenceMax,
                ReferenceSum = narrow.ReferenceSum,
                Center = narrow.Center,
                Cross = narrow.Cross,
                Distance = narrow.Distance,
                Entropy = narrow.Entropy,
                Squares = narrow.Squares,
                Unmasked = narrow.Unmasked,
                Predicted = narrow.Predicted,
            };
        }
    }

    /// <summary>Sets the coefficients of a row of the chunk.</summary>
    public void Set(int row, in RowGradient<double> gradient)
    {
        if (_wide)
        {
            ((RowGradient<double>*)_gradients)[row] = gradient;
            return;
        }

        ((RowGradient<float>*)_gradients)[row] = new RowGradient<float>
        {
            Max = (float)gradient.Max,
            ReferenceMax = (float)gradient.ReferenceMax,
            Policy = (float)gradient.Policy,
            Reference = (float)gradient.Reference,
            Smoothing = (float)gradient.Smoothing,
            Shift = (float)gradient.Shift,
        };
    }

    /// <summary>Writes the coefficients to the device.</summary>
    public void SubmitGradients()
    {
        long bytes = (long)_rows * GradientSize;
        gradients.Write(0, _gradients, bytes);
        gradients.Submit(bytes);
    }

    public void Dispose()
    {
        Free();
        sums.Dispose();
        gradients.Dispose();
    }

    private void Free()
    {
        NativeMemory.Free(_sums);
        NativeMemory.Free(_gradients);
        _sums = _gradients = null;
        _capacity = 0;
    }
}
