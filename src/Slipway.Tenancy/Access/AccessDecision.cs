namespace Slipway.Tenancy;

public enum AccessOutcome
{
    Allowed,

    /// <summary>401: nobody, or a credential that is no good.</summary>
    SignInRequired,

    /// <summary>404: this caller may not learn that the org exists.</summary>
    NotFound,

    /// <summary>403: a member, but without the role, scope or session it takes.</summary>
    Forbidden,
}

/// <param name="Code">One of <see cref="Slipway.Api.ProblemCodes"/>; empty when allowed.</param>
/// <param name="Reason">In words for a person, naming what is missing.</param>
public readonly record struct AccessDecision(AccessOutcome Outcome, string Code, string Reason)
{
    public static AccessDecision Allowed { get; } = new(AccessOutcome.Allowed, "", "");

    public bool IsAllowed => Outcome == AccessOutcome.Allowed;

    /// <summary>This refusal as the problem it is answered with.</summary>
    public ApiException ToException() => new(
        Outcome switch
        {
            AccessOutcome.SignInRequired => 401,
            AccessOutcome.NotFound => 404,
            AccessOutcome.Forbidden => 403,
            _ => throw new InvalidOperationException("An allowed access is no problem."),
        },
        Code,
        Reason,
        Outcome == AccessOutcome.SignInRequired ? "Sign in with `slipway login`, or send a key as `Authorization: Bearer slp_…`." : null);
}
