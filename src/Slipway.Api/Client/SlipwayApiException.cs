using System.Net;

namespace Slipway.Api.Client;

/// <summary>The server answered, and the answer is a problem.</summary>
public sealed class SlipwayApiException(Problem problem, TimeSpan? retryAfter = null)
    : Exception(problem.Detail ?? problem.Title)
{
    public Problem Problem { get; } = problem;

    public HttpStatusCode Status => (HttpStatusCode)Problem.Status;

    /// <summary>What the server asked us to wait before trying again.</summary>
    public TimeSpan? RetryAfter { get; } = retryAfter;
}

/// <summary>Why no answer came.</summary>
public enum UnreachableReason
{
    /// <summary>The host name does not resolve.</summary>
    NameUnknown,

    /// <summary>Nothing listens there, or the network is down.</summary>
    Refused,

    /// <summary>TLS could not be agreed on.</summary>
    Tls,

    /// <summary>No answer within the time allowed.</summary>
    Timeout,

    /// <summary>The connection broke while in use; the server may or may not have done the work.</summary>
    Cut,

    /// <summary>Something answered, but it is not a Slipway server.</summary>
    NotSlipway,
}

/// <summary>No usable answer from the server.</summary>
public sealed class SlipwayUnreachableException(Uri url, UnreachableReason reason, string message, Exception? inner = null)
    : Exception(message, inner)
{
    public Uri Url { get; } = url;

    public UnreachableReason Reason { get; } = reason;
}
