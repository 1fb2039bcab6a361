namespace Asft.Kernels;

/// <summary>
/// A value that its first user makes. One thread makes it while others wait, and what it threw is not kept, as <see cref="Lazy{T}"/> does: a
/// device that was out of memory at the first loss may have some at the next.
/// </summary>
/// <param name="make">Makes the value.</param>
internal sealed class Once<T>(Func<T> make)
{
    private readonly Lock _lock = new();
    private T _value = default!;
    private volatile bool _isMade;

    /// <summary>The value.</summary>
    public T Value => _isMade ? _value : Make();

    /// <summary>Whether there is a value already.</summary>
    public bool IsMade => _isMade;

    private T Make()
    {
        lock (_lock)
        {
            if (!_isMade)
            {
                _value = make();
                _isMade = true;
            }

            return _value;
        }
    }
}
