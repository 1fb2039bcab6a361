using System.Security.Cryptography;

namespace FineTune.Checkpoint;

/// <summary>Tells one checkpoint's weights from another's, by the bytes of their files, whatever dtype they are read into.</summary>
internal static class CheckpointIdentity
{
    /// <summary>SHA-256 of the config and all files of weights, as hexadecimal digits.</summary>
    public static string Of(string folder)
    {
        string[] files = CheckpointIndex.Read(folder) is { } index ? [.. index.Keys] : [Path.Combine(folder, CheckpointIndex.SingleFileName)];
        using var all = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string path in files.Order(StringComparer.Ordinal).Prepend(Path.Combine(folder, ModelConfig.FileName)))
        {
            using FileStream file = File.OpenRead(path);
            all.AppendData(SHA256.HashData(file));
        }

        return Convert.ToHexStringLower(all.GetHashAndReset());
    }
}
