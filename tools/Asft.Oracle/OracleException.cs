namespace Asft.Oracle;

/// <summary>A case that has no answer, or a file that is no case; the message is for the user.</summary>
internal sealed class OracleException(string message) : Exception(message);
