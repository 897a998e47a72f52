using Microsoft.Extensions.Logging;

namespace Slipway.Resp;

/// <summary>One master of a cluster, for what concerns a node and not a key: INFO, CONFIG, SCRIPT FLUSH, SCAN, …</summary>
public sealed class RespNode
{
    private readonly RespCluster cluster;
    private readonly RespOptions options;
    private readonly RespCredentials? credentials;
    private readonly ILogger logger;
    private readonly Lock gate = new();
    private RespConnection? connection;
    private bool closed;
    private volatile bool inTrouble;

    internal RespNode(RespCluster cluster, RespEndpoint endpoint, RespCredentials? credentials, RespOptions options, ILogger logger)
    {
        this.cluster = cluster;
        Endpoint = endpoint;
        this.credentials = credentials;
        this.options = options;
        this.logger = logger;
    }

    /// <summary><c>host:port</c></summary>
    public string Address => Endpoint.ToString();

    /// <summary>False also while nobody has needed it yet.</summary>
    public bool IsConnected => connection?.IsConnected ?? false;

    internal RespEndpoint Endpoint { get; }

    internal CommandQueue Queue => Connection.Queue;

    /// <summary>The connection when somebody has needed it already.</summary>
    internal RespConnection? Opened => connection;

    /// <summary>It was needed, and could not be reached since.</summary>
    internal bool IsDown => inTrouble && !IsConnected;

    private RespConnection Connection
    {
        get
        {
            lock (gate)
            {
                ObjectDisposedException.ThrowIf(closed, this);
                return connection ??= RespConnection.Start(options, new OneServer(Endpoint, credentials, 0, options), this, logger);
            }
        }
    }

    /// <summary>Sends to this node and no other: MOVED and ASK are errors here.</summary>
    /// <exception cref="RespServerException">Redis answered with an error.</exception>
    /// <exception cref="RespConnectionException">No answer; also when the node has left the cluster.</exception>
    public ValueTask<RespValue> SendAsync(RespCommand command, CancellationToken cancellationToken)
    {
        if (RespClient.Unsendable(command, options, cancellationToken) is { } fault)
        {
            return fault;
        }

        var pending = new PendingReply(command, PendingKind.Caller) { Pinned = true };
        try
        {
            Queue.Add(pending);
        }
        catch (ObjectDisposedException)
        {
            return ValueTask.FromException<RespValue>(new RespConnectionException(
                RespConnectionFailure.Closed, inDoubt: false, $"{command.Name}: {Address} has left the cluster."));
        }

        pending.CancelBy(cancellationToken);
        return pending.Task;
    }

    /// <inheritdoc/>
    public override string ToString() => Address;

    /// <summary>The connection has lost its link, could not make one, or hears that the cluster is down.</summary>
    internal void InTrouble()
    {
        inTrouble = true;
        cluster.RequestRefresh(null);
    }

    /// <summary>Everything on the wire is answered, some of it with MOVED or ASK.</summary>
    internal void Redirect() => cluster.Redirect(this);

    internal ValueTask CloseAsync()
    {
        lock (gate)
        {
            closed = true;
        }

        return connection?.DisposeAsync() ?? ValueTask.CompletedTask;
    }
}
