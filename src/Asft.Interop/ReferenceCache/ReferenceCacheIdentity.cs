using System.Text;

namespace Asft.Interop;

/// <summary>
/// What a <see cref="ReferenceCache"/> was made from. A cache is only ever used with what it was made from; these strings are
/// compared, and <see cref="Fingerprint"/> makes them, but any that tell one version from another will do, such as a revision's
/// name.
/// </summary>
/// <param name="Model">The reference model.</param>
/// <param name="Head">The reference's output projection, which hidden states are to be multiplied with.</param>
/// <param name="DataSet">The examples and their order.</param>
public sealed record ReferenceCacheIdentity(string Model, string Head, string DataSet)
{
    /// <summary>The reference model.</summary>
    /// <exception cref="ArgumentException">It is null, or no text that UTF-8 can hold.</exception>
    public string Model { get; init => field = Checked(value, nameof(Model)); } = Checked(Model, nameof(Model));

    /// <summary>The reference's output projection, which hidden states are to be multiplied with.</summary>
    /// <exception cref="ArgumentException">It is null, or no text that UTF-8 can hold.</exception>
    public string Head { get; init => field = Checked(value, nameof(Head)); } = Checked(Head, nameof(Head));

    /// <summary>The examples and their order.</summary>
    /// <exception cref="ArgumentException">It is null, or no text that UTF-8 can hold.</exception>
    public string DataSet { get; init => field = Checked(value, nameof(DataSet)); } = Checked(DataSet, nameof(DataSet));

    /// <summary>Half a surrogate pair would be replaced on the way to the disk, and the cache never be found to be the same.</summary>
    private static string Checked(string value, string name)
    {
        ArgumentNullException.ThrowIfNull(value, name);
        return Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(value)) == value
            ? value
            : throw new ArgumentException($"{name} must be text that UTF-8 can hold; it has half a surrogate pair.", name);
    }
}
