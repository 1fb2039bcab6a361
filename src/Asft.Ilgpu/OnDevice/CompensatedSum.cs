using System.Numerics;

namespace Asft.Kernels.Ilgpu.OnDevice;

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

    /// <summary>Adds a sum times a factor, with what the product rounds away (Dekker).</summary>
    /// <param name="terms">The sum.</param>
    /// <param name="factor">The factor.</param>
    /// <param name="splitter">2^s + 1, where half of the digits of T are s.</param>
    public void Add(CompensatedSum<T> terms, T factor, T splitter)
    {
        T product = terms._sum * factor;
        T split = splitter * terms._sum;
        T high = split - (split - terms._sum);
        T low = terms._sum - high;
        split = splitter * factor;
        T factorHigh = split - (split - factor);
        T factorLow = factor - factorHigh;
        T lost = ((((high * factorHigh) - product) + (high * factorLow)) + (low * factorHigh)) + (low * factorLow) + (terms._lost * factor);
        Add(product);
        if (lost - lost == T.Zero)
        {
            _lost += lost;
        }
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
