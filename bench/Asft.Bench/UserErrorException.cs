namespace Asft.Bench;

/// <summary>Something that the user can put right; the message says what.</summary>
/// <param name="message">One sentence for the user.</param>
public sealed class UserErrorException(string message) : Exception(message);
