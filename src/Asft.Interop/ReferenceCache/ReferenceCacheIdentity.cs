namespace Asft.Interop;

/// <summary>
/// What a <see cref="ReferenceCache"/> was made from. A cache is only ever used with what it was made from; these strings are
/// compared, and <see cref="Fingerprint"/> makes them, but any that tell one version from another will do, such as a revision's
/// name.
/// </summary>
/// <param name="Model">The reference model that the hidden states come from.</param>
/// <param name="Head">The reference's output projection, which the hidden states are to be multiplied with.</param>
/// <param name="DataSet">The examples and their order.</param>
public sealed record ReferenceCacheIdentity(string Model, string Head, string DataSet);
