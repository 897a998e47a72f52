namespace Slipway.Api.Client;

/// <summary>How to reach a server.</summary>
public sealed record SlipwayClientOptions
{
    /// <summary>The server's root, such as <c>http://127.0.0.1:7474</c>.</summary>
    public required Uri Url { get; init; }

    /// <summary>A session token or key, sent as <c>Authorization: Bearer</c>.</summary>
    public string? Token { get; init; }

    public string UserAgent { get; init; } = "slipway-client";

    /// <summary>Time to get a TCP connection: 10 s spans three SYN retransmissions.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Time for one try of an ordinary call, longer than the longest <c>?wait=</c> (30 s). Uploads and event streams have none.</summary>
    public TimeSpan CallTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Tries of one call, the first included (CL-9).</summary>
    public int MaxTries { get; init; } = 5;

    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Told before each wait for another try.</summary>
    public Action<RetryNotice>? OnRetry { get; init; }
}

/// <summary>Try <paramref name="Try"/> failed with <paramref name="Reason"/>; the next comes after <paramref name="Delay"/>.</summary>
public readonly record struct RetryNotice(int Try, int MaxTries, TimeSpan Delay, string Reason);

/// <summary>A value with the strong ETag it was served under, to send back as <c>If-Match</c>.</summary>
public sealed record Tagged<T>(T Value, string? ETag);
