namespace Asft.Bench.Benchmarks;

/// <summary>Benchmarks of one problem run one after another: it is made once, and freed when another one comes.</summary>
/// <typeparam name="TKey">What says that two problems are the same.</typeparam>
/// <typeparam name="TProblem">The problem.</typeparam>
/// <param name="create">Makes one.</param>
internal sealed class Shared<TKey, TProblem>(Func<TKey, TProblem> create)
    where TKey : IEquatable<TKey>
    where TProblem : class, IDisposable
{
    private TProblem? _problem;
    private TKey? _key;

    /// <summary>The problem of that key.</summary>
    public TProblem Get(TKey key)
    {
        if (_problem is null || !key.Equals(_key))
        {
            Clear();
            (_problem, _key) = (create(key), key);
        }

        return _problem;
    }

    /// <summary>Frees the last one.</summary>
    public void Clear()
    {
        _problem?.Dispose();
        _problem = null;
    }
}
