using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Slipway.Resp;

/// <summary>
/// Links to whoever is the master by the word of the sentinels, asked anew for each link:
/// <code>
///   OpenAsync ─► a sentinel: who is the master? ─► dial ─► ROLE: master? ─► link
///   +switch-master of any sentinel ─► retire the connection's link ─► OpenAsync
/// </code>
/// A sentinel's word is not enough (it may be late): the server must say itself that it is the master.
/// </summary>
internal sealed partial class SentinelMaster : ILinkSource
{
    /// <summary>Found sentinels beside the configured ones; nobody runs more than a handful.</summary>
    private const int MaxFound = 16;

    private readonly RespUrl url;
    private readonly RespOptions options;
    private readonly RespOptions sentinelOptions;
    private readonly RespCredentials? sentinelCredentials;
    private readonly ILogger logger;
    private readonly Lock gate = new();
    private readonly List<RespEndpoint> sentinels;
    private RespConnection? master;
    private RespConnection? watcher;

    public SentinelMaster(RespUrl url, RespOptions options, ILogger logger)
    {
        this.url = url;
        this.options = options;
        this.logger = logger;
        sentinels = [.. url.Endpoints];
        // A quarter: when one sentinel hangs, another is asked within the time that a caller gives a whole connect.
        sentinelOptions = options with { ConnectTimeout = options.ConnectTimeout / 4 };
        sentinelCredentials = options.SentinelPassword is { } password ? new RespCredentials(options.SentinelUser ?? "", password) : null;
    }

    public void Attach(RespConnection connection) => master = connection;

    public async Task<RespLink> OpenAsync(CancellationToken cancellationToken)
    {
        RespConnectionException? last = null;
        foreach (RespEndpoint sentinel in Known())
        {
            try
            {
                RespLink link = await OpenByAsync(sentinel, cancellationToken).ConfigureAwait(false);
                Prefer(sentinel);
                Watch();
                return link;
            }
            catch (RespConnectionException fault)
            {
                // Wrong credentials stay the news even when the next sentinel is merely down.
                last = last is { Reason: RespConnectionFailure.AuthenticationFailed } ? last : fault;
            }
        }

        throw last!;
    }

    public async ValueTask DisposeAsync()
    {
        RespConnection? watching;
        lock (gate)
        {
            watching = watcher;
        }

        if (watching is not null)
        {
            await watching.DisposeAsync().ConfigureAwait(false);
        }
    }

    public override string ToString() => url.ToString();

    private async Task<RespLink> OpenByAsync(RespEndpoint sentinel, CancellationToken cancellationToken)
    {
        RespEndpoint endpoint = await AskAsync(sentinel, cancellationToken).ConfigureAwait(false);
        RespLink link = await RespLink.OpenAsync(endpoint, url.Credentials, url.Database, options, cancellationToken).ConfigureAwait(false);
        try
        {
            RespValue role = await WithinAsync(link, RespCommand.Of("ROLE"), cancellationToken).ConfigureAwait(false);
            string word = role.Items is [var first, ..] ? first.AsString() : "unknown";
            return word == "master" ? link : throw Failed($"{endpoint} is {word}, though {sentinel} calls it the master.", null);
        }
        catch
        {
            await link.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private async Task<RespEndpoint> AskAsync(RespEndpoint sentinel, CancellationToken cancellationToken)
    {
        RespLink link = await RespLink.OpenAsync(sentinel, sentinelCredentials, 0, sentinelOptions, cancellationToken).ConfigureAwait(false);
        await using (link.ConfigureAwait(false))
        {
            RespValue address = await WithinAsync(
                link, RespCommand.Of("SENTINEL", "GET-MASTER-ADDR-BY-NAME", url.MasterName), cancellationToken).ConfigureAwait(false);
            if (address.Items is not [var host, var port])
            {
                throw Failed($"{sentinel} knows no master named {url.MasterName}.", null);
            }

            RespValue others = await WithinAsync(link, RespCommand.Of("SENTINEL", "SENTINELS", url.MasterName), cancellationToken).ConfigureAwait(false);
            Learn(others);
            return RespEndpoint.Tcp(host.AsString(), (int)port.AsInteger(), url.Tls);
        }
    }

    private async Task<RespValue> WithinAsync(RespLink link, RespCommand command, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(sentinelOptions.ConnectTimeout, options.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            return await link.AskAsync(command, either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException cause) when (!cancellationToken.IsCancellationRequested)
        {
            throw Failed($"{link.Endpoint} does not answer {command.Name}.", cause);
        }
        catch (Exception cause) when (cause is IOException or RespServerException or RespProtocolException)
        {
            throw Failed($"{link.Endpoint}: {cause.Message}", cause);
        }
    }

    /// <summary>From the first fault on, sentinels that nobody configured help too.</summary>
    private void Learn(RespValue others)
    {
        lock (gate)
        {
            foreach (RespValue one in others.Items)
            {
                // A map, which RESP2-minded sentinels send as a flat array: both read the same here.
                string host = "";
                int port = 0;
                for (int i = 0; i + 1 < one.Items.Count; i += 2)
                {
                    switch (one.Items[i].ToString())
                    {
                        case "ip":
                            host = one.Items[i + 1].AsString();
                            break;
                        case "port":
                            _ = int.TryParse(one.Items[i + 1].AsString(), NumberStyles.None, CultureInfo.InvariantCulture, out port);
                            break;
                    }
                }

                RespEndpoint found = RespEndpoint.Tcp(host, port, url.Tls);
                if (host.Length > 0 && port is > 0 and <= 65535 && !sentinels.Contains(found) && sentinels.Count < url.Endpoints.Count + MaxFound)
                {
                    sentinels.Add(found);
                }
            }
        }
    }

    private RespEndpoint[] Known()
    {
        lock (gate)
        {
            return [.. sentinels];
        }
    }

    /// <summary>The one that could help last time is asked first next time.</summary>
    private void Prefer(RespEndpoint sentinel)
    {
        lock (gate)
        {
            if (sentinels.Remove(sentinel))
            {
                sentinels.Insert(0, sentinel);
            }
        }
    }

    /// <summary>
    /// Listens to the sentinels from the first success on. Only a hint: it saves waiting for a dead master's silence to be noticed.
    /// </summary>
    private void Watch()
    {
        lock (gate)
        {
            if (watcher is not null)
            {
                return;
            }

            watcher = RespConnection.Start(sentinelOptions, new AnySentinel(this), node: null, logger);
        }

        _ = SubscribeAsync(watcher);
    }

    private async Task SubscribeAsync(RespConnection watcher)
    {
        while (true)
        {
            try
            {
                await watcher.SubscribeAsync("+switch-master", Switched, static () => { }, CancellationToken.None).ConfigureAwait(false);
                return;
            }
            catch (RespConnectionException late) when (late.Reason is RespConnectionFailure.TimedOut or RespConnectionFailure.Lost)
            {
                // No sentinel for a while; the watcher goes on dialling, and each round waits for a whole command timeout.
            }
            catch (RespException fault)
            {
                // Without the hint a failover is found by the dead link, or by READONLY.
                Log.NoHints(logger, url.MasterName, fault.Message);
                return;
            }
        }
    }

    /// <summary><c>mymaster old-ip old-port new-ip new-port</c></summary>
    private void Switched(ReadOnlyMemory<byte> message)
    {
        string[] words = Encoding.UTF8.GetString(message.Span).Split(' ');
        if (words.Length == 5 && words[0] == url.MasterName && master is { } connection
            && connection.Endpoint?.ToString() != $"{words[3]}:{words[4]}")
        {
            Log.Switched(logger, url.MasterName, words[3], words[4]);
            connection.Retire($"Sentinel made {words[3]}:{words[4]} the master.");
        }
    }

    private static RespConnectionException Failed(string message, Exception? cause) =>
        new(RespConnectionFailure.ConnectFailed, inDoubt: false, message, cause);

    /// <summary>Whichever sentinel answers.</summary>
    private sealed class AnySentinel(SentinelMaster sentinels) : ILinkSource
    {
        private int next;

        public Task<RespLink> OpenAsync(CancellationToken cancellationToken)
        {
            RespEndpoint[] known = sentinels.Known();
            RespEndpoint sentinel = known[(next++ & int.MaxValue) % known.Length];
            return RespLink.OpenAsync(sentinel, sentinels.sentinelCredentials, 0, sentinels.sentinelOptions, cancellationToken);
        }

        public void Attach(RespConnection connection)
        {
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;

        public override string ToString() => $"sentinels of {sentinels.url.MasterName}";
    }

    private static partial class Log
    {
        [LoggerMessage(5, LogLevel.Information, "Sentinel made {Host}:{Port} the master of {Name}")]
        public static partial void Switched(ILogger logger, string name, string host, string port);

        [LoggerMessage(6, LogLevel.Warning, "No news from the sentinels of {Name}: {Message}")]
        public static partial void NoHints(ILogger logger, string name, string message);
    }
}
