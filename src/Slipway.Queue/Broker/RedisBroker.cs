using Slipway.Resp;

namespace Slipway.Queue;

/// <summary>One queue in Redis (7 or newer) or Valkey: a single server, behind Sentinel, or in a cluster.</summary>
/// <remarks>
/// <code>
///   enqueue ──► ready:0..7 ──fetch──► blocks + leases ──fetch (finished), ack, settle──► gone
///      │            ▲  ▲                   │    │
///      └─► delayed ─┘  └──reap, release────┘    └──settle──► delayed · dead
/// </code>
/// A block is one field of one hash: its entries are packed by one script and unpacked by the client, so that leasing a hundred
/// jobs is one call, one string and one answer. See docs/protocols/queue.md.
/// </remarks>
public sealed partial class RedisBroker : IQueueBroker, IQueueAdmin
{
    private readonly IRespClient redis;
    private readonly BrokerOptions options;
    private readonly QueueKeys keys;
    private readonly TypeNames types = new();
    private readonly WakeSignal wake = new();
    private readonly Lock listeningGate = new();
    private Task<RespSubscription>? listening;
    private volatile StoredSettings settings = StoredSettings.None;

    /// <summary>Server clock − ours, in ms: the latest answer's. Only for ids and waiting times; nothing is decided by it.</summary>
    private long clockOffset;

    /// <summary>The queue <paramref name="queue"/>; nothing is sent until it is used. It is made with <see cref="BrokerOptions.Initial"/> when nobody made it before.</summary>
    /// <param name="redis">Shared with others; stays the caller's.</param>
    /// <param name="queue">1–64 printable ASCII characters without blanks and braces.</param>
    /// <exception cref="EvictionException">Redis may evict jobs, and <see cref="BrokerOptions.AllowEviction"/> is not set.</exception>
    /// <param name="options">This process's view of it.</param>
    public RedisBroker(IRespClient redis, string queue, BrokerOptions options)
    {
        CheckName(queue, 64, nameof(queue));
        StoredSettings.Check(options.Initial);
        if (options.WorkerId is { } id)
        {
            CheckName(id, 128, nameof(options));
        }

        this.redis = redis;
        this.options = options;
        Queue = queue;
        keys = new QueueKeys(queue);
        WorkerId = options.WorkerId ?? $"{Shorten(Environment.MachineName)}-{Environment.ProcessId}-{Random.Shared.Next(0x1000000):x6}";
    }

    public event Action<Guid>? CancelRequested;

    public string Queue { get; }

    public string WorkerId { get; }

    public Task NextWake => wake.Next;

    /// <summary>As the constructor, and reaches the queue once, so that a wrong address or password shows now.</summary>
    public static async Task<RedisBroker> OpenAsync(IRespClient redis, string queue, BrokerOptions options, CancellationToken cancellationToken)
    {
        if (!options.AllowEviction)
        {
            await MustNotEvictAsync(redis, cancellationToken).ConfigureAwait(false);
        }

        var broker = new RedisBroker(redis, queue, options);
        await broker.LoadSettingsAsync(cancellationToken).ConfigureAwait(false);
        return broker;
    }

    /// <summary>INFO, because CONFIG is forbidden at many who run Redis for others. The volatile policies spare keys without a time to live, as ours are.</summary>
    private static async Task MustNotEvictAsync(IRespClient redis, CancellationToken cancellationToken)
    {
        RespValue info = await redis.SendAsync(RespCommand.Of("INFO", "memory") with { Idempotent = true }, cancellationToken).ConfigureAwait(false);
        string? policy = info.AsString().Split('\n').FirstOrDefault(line => line.StartsWith("maxmemory_policy:", StringComparison.Ordinal))?.Trim()["maxmemory_policy:".Length..];
        if (policy?.StartsWith("allkeys-", StringComparison.Ordinal) is true)
        {
            throw new EvictionException(policy);
        }
    }

    /// <summary>Stops listening. The connection belongs to whoever made it.</summary>
    public async ValueTask DisposeAsync()
    {
        Task<RespSubscription>? started;
        lock (listeningGate)
        {
            started = listening;
        }

        if (started is { IsCompletedSuccessfully: true })
        {
            await (await started.ConfigureAwait(false)).DisposeAsync().ConfigureAwait(false);
        }
    }

    internal static void CheckName(string name, int longest, string parameter)
    {
        if (name.Length == 0 || name.Length > longest || name.AsSpan().ContainsAnyExceptInRange('!', '~') || name.AsSpan().ContainsAny('{', '}'))
        {
            throw new ArgumentException($"'{name}' must be 1 to {longest} printable ASCII characters without blanks and braces.", parameter);
        }
    }

    /// <summary>Starts listening at the first fetch; tries again after a failure.</summary>
    private Task ListenAsync()
    {
        Task<RespSubscription>? started = Volatile.Read(ref listening);
        if (started is { IsCompletedSuccessfully: true })
        {
            return Task.CompletedTask;
        }

        lock (listeningGate)
        {
            if (listening is null or { IsFaulted: true } or { IsCanceled: true })
            {
                listening = redis.SubscribeAsync(keys.WakeChannel, Hear, wake.Pulse, CancellationToken.None);
            }

            return listening;
        }
    }

    private void Hear(ReadOnlyMemory<byte> message)
    {
        if (message.Length == 17 && message.Span[0] == (byte)'c')
        {
            CancelRequested?.Invoke(new Guid(message.Span[1..], bigEndian: true));
        }
        else
        {
            wake.Pulse();
        }
    }

    private ValueTask<RespValue> EvaluateAsync(
        RespScript script, ReadOnlyMemory<RespArgument> scriptKeys, ReadOnlyMemory<RespArgument> arguments, CancellationToken cancellationToken) =>
        redis.EvaluateAsync(script, scriptKeys, arguments, idempotent: true, keepsReply: false, cancellationToken);

    private long LocalNow => options.Time.GetUtcNow().ToUnixTimeMilliseconds();

    private void LearnClock(long serverNow) => Volatile.Write(ref clockOffset, serverNow - LocalNow);

    private long ServerNow => LocalNow + Volatile.Read(ref clockOffset);

    private static DateTimeOffset Moment(long milliseconds) => DateTimeOffset.FromUnixTimeMilliseconds(milliseconds);

    private static long Milliseconds(TimeSpan span) => (long)Math.Max(0, Math.Ceiling(span.TotalMilliseconds));

    private static string Cut(string text, int longest) => text.Length <= longest ? text : text[..(longest - 1)] + "…";

    private static string Shorten(string host)
    {
        char[] safe = [.. host.Where(c => char.IsAsciiLetterOrDigit(c) || c == '-').Take(32)];
        return safe.Length == 0 ? "host" : new string(safe);
    }

    private static byte[] Bytes(Guid id) => id.ToByteArray(bigEndian: true);
}
