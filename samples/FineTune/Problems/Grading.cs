namespace FineTune.Problems;

/// <summary>Decides whether a model's response to a problem is right.</summary>
internal delegate bool Grading(Example problem, string response);

internal static class Gradings
{
    /// <summary>The final answer counts, the text behind the last '#'; the steps that led there do not.</summary>
    public static bool FinalAnswer(Example problem, string response) => Answer(response) == Answer(problem.Response);

    /// <summary>Nothing but the demonstrated response will do: all that can be asked of texts whose meaning is unknown.</summary>
    public static bool Exact(Example problem, string response) => response == problem.Response;

    private static string? Answer(string response)
    {
        int mark = response.LastIndexOf('#');
        return mark < 0 ? null : response[(mark + 1)..];
    }
}
