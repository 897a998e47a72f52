namespace Slipway.Resp;

/// <summary>How to reach a server, and the limits of each connection to it.</summary>
public sealed record RespOptions
{
    /// <summary>
    /// <c>redis://[user:password@]host[:port][/database]</c>, <c>unix://[user:password@]/path.sock[?db=n]</c>,
    /// <c>redis+sentinel://[user:password@]host[:port],…/master[/database]</c> or
    /// <c>redis+cluster://[user:password@]host[:port],…</c>; <c>rediss</c> instead of <c>redis</c> for TLS.
    /// </summary>
    public required string Url { get; init; }

    /// <summary>For <c>rediss…://</c>; without it the system's authorities and the URL's host.</summary>
    public RespTlsOptions? Tls { get; init; }

    /// <summary>For the sentinels themselves (<c>requirepass</c> in their configuration); those of the URL are for the master.</summary>
    public string? SentinelUser { get; init; }

    /// <summary>See <see cref="SentinelUser"/>; null: the sentinels want none.</summary>
    public string? SentinelPassword { get; init; }

    /// <summary>Shown by <c>CLIENT LIST</c>.</summary>
    public string ClientName { get; init; } = "slipway";

    /// <summary>For dialling and the handshake together. 5 s: a TCP SYN is retried at 1 s and 3 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>From <c>SendAsync</c> to the answer: waiting for room, reconnects, failovers and retries included. 10 s: an <c>appendfsync always</c> write on a slow disk may take seconds.</summary>
    public TimeSpan CommandTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>An idle connection is probed this often: finds half-open ones, on which no push would ever arrive.</summary>
    public TimeSpan PingInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// A connection on which nothing was heard for so long, although answers are due, is given up: idempotent commands go again on another,
    /// the rest fails in doubt. 3 s: longer than Redis itself holds writes back for a running fsync (2 s), and short enough that half-open
    /// connections are found within 5 s by whoever asks something each second or two.
    /// </summary>
    public TimeSpan SilenceTimeout { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>First pause before a reconnect; doubles up to <see cref="MaxReconnectDelay"/>; each pause is a random 50–100 % of it.</summary>
    public TimeSpan MinReconnectDelay { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>1 s: a restarted Redis is found again soon, and a dead one costs next to nothing.</summary>
    public TimeSpan MaxReconnectDelay { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Commands waiting for an answer; one more waits in <c>SendAsync</c>. 1024 in flight saturate one Redis (200 do).</summary>
    public int MaxInFlight { get; init; } = 1024;

    /// <summary>
    /// Bytes of those commands together; as many as are inside may be exceeded by the one that comes next, so that a large command
    /// never waits for an empty connection. 32 MiB: 1024 commands of 32 kB.
    /// </summary>
    public long MaxInFlightBytes { get; init; } = 32 * 1024 * 1024;

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
    public override string ToString() => RespUrl.TryParse(Url, out RespUrl? parsed, out _) ? parsed.ToString() : "(invalid URL)";
}
