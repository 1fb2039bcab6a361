namespace Asft.Kernels;

/// <summary>
/// What can be wrong with a call of a kernel short of the labels' values, whichever kernel it is: found before any work, as a null
/// or an element type that the kernel takes for another would be read or written as memory.
/// </summary>
internal static unsafe class KernelArguments
{
    /// <summary>Checks a call of <see cref="ITokenLossKernel.Forward"/>.</summary>
    /// <exception cref="ArgumentException">Something is missing, or the gradient's type is not that of the logits.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There are less than 0 rows or less than 1 logit in each.</exception>
    public static void CheckForward(in TokenProblem problem, in TokenGradient gradient)
    {
        CheckProblem(problem);
        CheckGradient(problem, gradient);
        if (problem.Rows > 0 && problem.Objective.NeedsReference)
        {
            CheckReference(problem);
        }
    }

    /// <summary>Checks a call of <see cref="ITokenLossKernel.Backward"/>.</summary>
    /// <exception cref="ArgumentException">Something is missing, or the gradient's type is not that of the logits.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There are less than 0 rows or less than 1 logit in each.</exception>
    public static void CheckBackward(in TokenProblem problem, in TokenGradient gradient)
    {
        CheckProblem(problem);
        CheckGradient(problem, gradient);
        if (problem.Rows == 0)
        {
            return;
        }

        if (gradient.Logits.IsNull)
        {
            throw new ArgumentException("There is no place for the gradient: Logits is null.", nameof(gradient));
        }

        if (problem.Objective.KlWeight > 0)
        {
            CheckReference(problem);
        }
    }

    /// <summary>The same for a kernel that works from the saved <see cref="TokenOutputs.State"/>.</summary>
    /// <exception cref="ArgumentException">Something is missing, or the gradient's type is not that of the logits.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There are less than 0 rows or less than 1 logit in each.</exception>
    public static void CheckHostBackward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient)
    {
        CheckBackward(problem, gradient);
        if (problem.Rows > 0)
        {
            CheckSaved(saved.State, nameof(saved.State));
        }
    }

    /// <summary>Checks that an earlier call saved what the gradient is made from.</summary>
    /// <param name="saved">The saved output.</param>
    /// <param name="name">Its name in <see cref="TokenOutputs"/>.</param>
    /// <exception cref="ArgumentException">It is null.</exception>
    public static void CheckSaved(void* saved, string name)
    {
        if (saved == null)
        {
            throw new ArgumentException($"The gradient needs the saved {name}, which is null.", nameof(saved));
        }
    }

    /// <summary>Checks a call of <see cref="ITokenLossKernel.Rescale"/>.</summary>
    /// <exception cref="ArgumentException">There is no gradient.</exception>
    public static void CheckRescale(in TokenGradient gradient)
    {
        if (gradient.Logits.IsNull)
        {
            throw new ArgumentException("There is no gradient to scale: Logits is null.", nameof(gradient));
        }
    }

    /// <summary>Checks a number of rows.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is below 0.</exception>
    public static void CheckRows(long rows, string name)
    {
        if (rows < 0)
        {
            throw OutOfRange.Of(name, rows, "at least 0");
        }
    }

    private static void CheckProblem(in TokenProblem problem)
    {
        if (problem.Objective is null)
        {
            throw new ArgumentException("Objective is null.", nameof(problem));
        }

        if (problem.Rows < 0)
        {
            throw new ArgumentOutOfRangeException(nameof(problem), Invariant($"Rows must be at least 0; got {problem.Rows}."));
        }

        if (problem.Vocabulary < 1)
        {
            throw new ArgumentOutOfRangeException(nameof(problem), Invariant($"Vocabulary must be at least 1; got {problem.Vocabulary}."));
        }

        if (problem.Rows > 0 && problem.Labels == null)
        {
            throw new ArgumentException(Invariant($"Labels is null; there must be one for each of {problem.Rows} rows."), nameof(problem));
        }

        if (problem.Rows > 0 && problem.Logits.IsNull)
        {
            throw new ArgumentException(Invariant($"Logits is null; there must be {problem.Rows} rows of {problem.Vocabulary}."), nameof(problem));
        }

        CheckType(problem.Logits.Type, nameof(problem.Logits), nameof(problem));
        CheckType(problem.Reference.Type, nameof(problem.Reference), nameof(problem));
        problem.Objective.CheckFits(problem.Logits.Type);
    }

    private static void CheckType(ElementType type, string name, string parameter)
    {
        if (!Enum.IsDefined(type))
        {
            throw new ArgumentException(Invariant($"{name} has the element type {(int)type}, which is none."), parameter);
        }
    }

    private static void CheckGradient(in TokenProblem problem, in TokenGradient gradient)
    {
        if (!gradient.Logits.IsNull && gradient.Logits.Type != problem.Logits.Type)
        {
            throw new ArgumentException(
                $"The gradient is {gradient.Logits.Type}; it must be stored like the policy logits, {problem.Logits.Type}.", nameof(gradient));
        }

        if (gradient.UpstreamStride is not (0 or 1))
        {
            throw new ArgumentException(Invariant($"UpstreamStride must be 0 or 1; got {gradient.UpstreamStride}."), nameof(gradient));
        }
    }

    private static void CheckReference(in TokenProblem problem)
    {
        if (problem.Reference.IsNull)
        {
            throw new ArgumentException("The objective needs reference logits, and Reference is null.", nameof(problem));
        }
    }
}
