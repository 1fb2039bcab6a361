using System.Numerics;

namespace Asft.Kernels.Portable.OnDevice;

/// <summary>
/// A sum that keeps what its additions round away (Knuth's two-sum), since a float32 that holds the largest probability of a row
/// would otherwise lose much of the thousands of small ones added to it.
/// </summary>
internal struct CompensatedSum<T>
    where T : unmanaged, INumber<T>
{
    private T _sum;
    private T _lost;

    public readonly T Value => _sum + _lost;

    public void Add(T value)
    {
        T sum = _sum + value;
        T added = sum - _sum;
        T lost = (_sum - (sum - added)) + (value - added);
        if (sum - sum == T.Zero)
        {
            _lost += lost; // an infinite sum has lost nothing, and what stands here then is NaN
        }

        _sum = sum;
    }

    public void MultiplyBy(T factor)
    {
        _sum *= factor;
        _lost *= factor;
    }

    public void Clear()
    {
        _sum = T.Zero;
        _lost = T.Zero;
    }
}
