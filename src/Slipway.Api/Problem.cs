namespace Slipway.Api;

/// <summary>
/// What went wrong, as RFC 9457 <c>application/problem+json</c>. Every error of the HTTP API has this shape.
/// </summary>
public sealed record Problem
{
    /// <summary>The media type of a problem.</summary>
    public const string MediaType = "application/problem+json";

    /// <summary>A URI reference naming the kind of problem: <c>/problems/{code}</c>.</summary>
    public string? Type { get; init; }

    public required string Title { get; init; }

    /// <summary>The HTTP status.</summary>
    public required int Status { get; init; }

    /// <summary>What happened this time, in words for a person.</summary>
    public string? Detail { get; init; }

    /// <summary>The request path.</summary>
    public string? Instance { get; init; }

    /// <summary>Stable code for programs, such as <c>org_not_found</c>. See <see cref="ProblemCodes"/>.</summary>
    public required string Code { get; init; }

    /// <summary>What to do about it.</summary>
    public string? Hint { get; init; }

    /// <summary>The faults of a bad request, one by one.</summary>
    public IReadOnlyList<FieldFault>? Errors { get; init; }

    /// <summary>The id under which the server logged this request.</summary>
    public string? RequestId { get; init; }

    /// <summary>True when the same request may succeed later.</summary>
    public bool Retryable { get; init; }
}

/// <summary>One fault of a request body. <paramref name="Pointer"/> is a JSON pointer (RFC 6901) such as <c>/scopes/0</c>.</summary>
public sealed record FieldFault(string Pointer, string Detail);

/// <summary>The codes a <see cref="Problem"/> may carry. Add, never rename: clients match on them.</summary>
public static class ProblemCodes
{
    public const string InvalidRequest = "invalid_request";
    public const string SignInRequired = "sign_in_required";
    public const string CredentialInvalid = "credential_invalid";
    public const string CredentialExpired = "credential_expired";
    public const string CredentialRevoked = "credential_revoked";
    public const string SessionRequired = "session_required";
    public const string ScopeMissing = "scope_missing";
    public const string Forbidden = "forbidden";
    public const string StageRefused = "stage_refused";
    public const string NotFound = "not_found";
    public const string Conflict = "conflict";
    public const string PreconditionFailed = "precondition_failed";
    public const string PreconditionRequired = "precondition_required";
    public const string IdempotencyKeyReused = "idempotency_key_reused";
    public const string IdempotencyInProgress = "idempotency_in_progress";
    public const string TooLarge = "too_large";
    public const string TooManyRequests = "too_many_requests";
    public const string QueueFull = "queue_full";
    public const string StoreFull = "store_full";
    public const string Unavailable = "unavailable";
    public const string Internal = "internal";
    public const string MethodNotAllowed = "method_not_allowed";
    public const string UnsupportedMediaType = "unsupported_media_type";
    public const string Timeout = "timeout";
}
