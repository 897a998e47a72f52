namespace Slipway.Resp;

/// <summary>
/// Redis or Valkey, however many servers stand behind it: one server, the master that Sentinel names, or a cluster. Opened by
/// <see cref="RespClient.ConnectAsync"/>; any number of callers may share one.
/// </summary>
public interface IRespClient : IAsyncDisposable
{
    /// <summary>True while a connection is up (of a cluster: while any is). Only a snapshot: for health pages, not for decisions.</summary>
    bool IsConnected { get; }

    /// <summary>Sends one command and waits for its answer. Waits for room first when too much is in flight.</summary>
    /// <exception cref="RespServerException">Redis answered with an error.</exception>
    /// <exception cref="RespConnectionException">No answer; <see cref="RespConnectionException.InDoubt"/> tells whether it may have been executed.</exception>
    ValueTask<RespValue> SendAsync(RespCommand command, CancellationToken cancellationToken);

    /// <summary>Runs a script by its hash; loads it where the server does not know it (first use, restart, SCRIPT FLUSH, failover).</summary>
    /// <param name="idempotent">See <see cref="RespCommand.Idempotent"/>.</param>
    /// <param name="keepsReply">See <see cref="RespCommand.KeepsReply"/>.</param>
    ValueTask<RespValue> EvaluateAsync(
        RespScript script,
        ReadOnlyMemory<RespArgument> keys,
        ReadOnlyMemory<RespArgument> arguments,
        bool idempotent,
        bool keepsReply,
        CancellationToken cancellationToken);

    /// <summary>Listens to a channel. Returns once the server has confirmed it.</summary>
    /// <param name="message">Called on the read loop for each message: must be quick and must not block.</param>
    /// <param name="gap">Called when the subscription stands again after a cut: messages may have been missed.</param>
    Task<RespSubscription> SubscribeAsync(
        string channel, Action<ReadOnlyMemory<byte>> message, Action gap, CancellationToken cancellationToken);
}
