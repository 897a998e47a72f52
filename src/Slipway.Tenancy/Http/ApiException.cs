using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>
/// The caller's mistake, or a state of the world the caller should hear about, with the status it gets at the edge. Thrown by
/// handlers; turned into <c>application/problem+json</c> in one place by <see cref="Problems.WriteAsync"/>.
/// </summary>
public class ApiException : Exception
{
    public ApiException(int status, string code, string detail, string? hint = null, params IReadOnlyList<FieldFault> faults)
        : base(detail)
    {
        Status = status;
        Code = code;
        Hint = hint;
        Faults = faults;
    }

    public int Status { get; }

    /// <summary>One of <see cref="ProblemCodes"/>.</summary>
    public string Code { get; }

    public string? Hint { get; }

    public IReadOnlyList<FieldFault> Faults { get; }

    /// <summary>When set, sent as <c>Retry-After</c> in whole seconds, and the problem is marked retryable.</summary>
    public TimeSpan? RetryAfter { get; init; }

    public static ApiException NotFound(string what) => new(404, ProblemCodes.NotFound, $"There is no {what} here, or you may not see it.");

    public static ApiException Conflict(string detail, string? hint = null) => new(409, ProblemCodes.Conflict, detail, hint);

    public static ApiException TooMany(string detail, TimeSpan retryAfter) =>
        new(429, ProblemCodes.TooManyRequests, detail, "Wait as long as Retry-After says, then try again.") { RetryAfter = retryAfter };
}
