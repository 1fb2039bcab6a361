namespace Asft.Kernels;

/// <summary>What is made of a row's reference logits.</summary>
internal enum ReferenceUse
{
    /// <summary>Nothing: they are not read.</summary>
    None,

    /// <summary>Their log-sum-exp, for importance ratios.</summary>
    Sum,

    /// <summary>That, and the cross term of KL(ref || policy).</summary>
    ForwardKl,

    /// <summary>That, and the cross term of KL(policy || ref).</summary>
    ReverseKl,
}
