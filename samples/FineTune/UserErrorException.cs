namespace FineTune;

/// <summary>Something that the user can put right, told in one sentence: printed as it is, without a stack trace.</summary>
internal sealed class UserErrorException : Exception
{
    public UserErrorException(string message)
        : base(message)
    {
    }
}
