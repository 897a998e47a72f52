namespace Slipway.Resp;

/// <summary>How to reach a server, and the limits of one connection.</summary>
public sealed record RespOptions
{
    /// <summary><c>redis://[user:password@]host[:port][/database]</c> or <c>unix://[user:password@]/path.sock[?db=n]</c>.</summary>
    public required string Url { get; init; }

    /// <summary>Shown by <c>CLIENT LIST</c>.</summary>
    public string ClientName { get; init; } = "slipway";

    /// <summary>For dialling and the handshake together. 5 s: a TCP SYN is retried at 1 s and 3 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>From <c>SendAsync</c> to the answer, reconnects included. 10 s: an <c>appendfsync always</c> write on a slow disk may take seconds.</summary>
    public TimeSpan CommandTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>An idle connection is probed this often: finds half-open ones, on which no push would ever arrive.</summary>
    public TimeSpan PingInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>First pause before a reconnect; doubles up to <see cref="MaxReconnectDelay"/>; each pause is a random 50–100 % of it.</summary>
    public TimeSpan MinReconnectDelay { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>1 s: a restarted Redis is found again soon, and a dead one costs next to nothing.</summary>
    public TimeSpan MaxReconnectDelay { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Commands waiting for an answer; one more waits in <c>SendAsync</c>. 1024 in flight saturate one Redis (see jobs.md: 200 do).</summary>
    public int MaxInFlight { get; init; } = 1024;

    /// <summary>One encoded command. Redis itself refuses strings over 512 MiB; we have no use for a tenth of that.</summary>
    public int MaxCommandBytes { get; init; } = 32 * 1024 * 1024;

    /// <summary>All bytes of one reply together.</summary>
    public int MaxReplyBytes { get; init; } = 64 * 1024 * 1024;

    /// <summary>All elements of one reply together.</summary>
    public int MaxReplyElements { get; init; } = 1_000_000;

    /// <summary>Nesting of one reply. Redis' own deepest reply (COMMAND DOCS) has less than ten levels.</summary>
    public int MaxReplyDepth { get; init; } = 32;

    /// <summary>The clock for timeouts and pauses.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Never the URL: it may hold a password.</summary>
    public override string ToString() => RespEndpoint.TryParse(Url, out RespEndpoint? endpoint, out _) ? endpoint.ToString() : "(invalid URL)";
}
