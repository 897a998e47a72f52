using System.Net.Sockets;

namespace Slipway.Resp;

/// <summary>
/// One physical connection, from dialling to its first fault; never repaired. Two loops, read and write, that end together.
/// </summary>
internal sealed class RespLink : IAsyncDisposable
{
    /// <summary>One write: large enough to fill a socket buffer, small enough to start Redis working early.</summary>
    private const int BatchBytes = 64 * 1024;

    private readonly Stream stream;
    private readonly RespParser parser;
    private readonly byte[] received = new byte[16 * 1024];
    private int receivedStart;
    private int receivedEnd;

    private RespLink(Stream stream, RespOptions options)
    {
        this.stream = stream;
        parser = new RespParser(options);
    }

    /// <summary>Dials and shakes hands: HELLO 3 with credentials, SELECT, and a PING, which a server that still loads its data refuses.</summary>
    /// <exception cref="RespConnectionException"/>
    public static async Task<RespLink> OpenAsync(RespEndpoint endpoint, RespOptions options, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(options.ConnectTimeout, options.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        RespLink? link = null;
        try
        {
            link = new RespLink(await endpoint.DialAsync(either.Token).ConfigureAwait(false), options);
            await link.ShakeHandsAsync(endpoint, options, either.Token).ConfigureAwait(false);
            RespLink opened = link;
            link = null;
            return opened;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new RespConnectionException(
                RespConnectionFailure.ConnectFailed, inDoubt: false, $"{endpoint}: no connection within {options.ConnectTimeout}.");
        }
        catch (Exception cause) when (cause is SocketException or IOException)
        {
            throw new RespConnectionException(
                RespConnectionFailure.ConnectFailed, inDoubt: false, $"{endpoint}: {cause.Message}", cause);
        }
        catch (RespProtocolException cause)
        {
            throw new RespConnectionException(
                RespConnectionFailure.ProtocolViolation, inDoubt: false, $"{endpoint} does not speak RESP3: {cause.Message}", cause);
        }
        finally
        {
            if (link is not null)
            {
                await link.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>Writes what the queue holds until cancelled or broken.</summary>
    public async Task WriteAsync(CommandQueue queue, CancellationToken cancellationToken)
    {
        var batch = new List<RespCommand>();
        byte[] buffer = new byte[BatchBytes];
        while (true)
        {
            queue.TakeBatch(batch, BatchBytes);
            if (batch.Count == 0)
            {
                await queue.WaitForWorkAsync(cancellationToken).ConfigureAwait(false);
                continue;
            }

            int filled = 0;
            foreach (RespCommand command in batch)
            {
                if (command.Encoded.Length > buffer.Length)
                {
                    // TakeBatch gives a larger one only alone.
                    await stream.WriteAsync(command.Encoded, cancellationToken).ConfigureAwait(false);
                    continue;
                }

                command.Encoded.CopyTo(buffer, filled);
                filled += command.Encoded.Length;
            }

            if (filled > 0)
            {
                await stream.WriteAsync(buffer.AsMemory(0, filled), cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>The next reply or push.</summary>
    /// <exception cref="EndOfStreamException">The server closed the connection.</exception>
    /// <exception cref="RespProtocolException"/>
    public async ValueTask<RespValue> ReadAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            if (receivedStart < receivedEnd)
            {
                bool whole = parser.TryRead(received.AsSpan(receivedStart, receivedEnd - receivedStart), out int consumed, out RespValue value);
                receivedStart += consumed;
                if (whole)
                {
                    return value;
                }
            }

            receivedStart = 0;
            receivedEnd = await stream.ReadAsync(received, cancellationToken).ConfigureAwait(false);
            if (receivedEnd == 0)
            {
                throw new EndOfStreamException("Redis closed the connection.");
            }
        }
    }

    public ValueTask DisposeAsync() => stream.DisposeAsync();

    private async Task ShakeHandsAsync(RespEndpoint endpoint, RespOptions options, CancellationToken cancellationToken)
    {
        RespCommand hello = endpoint.Password is { } password
            ? RespCommand.Of("HELLO", "3", "AUTH", endpoint.User ?? "default", password, "SETNAME", options.ClientName)
            : RespCommand.Of("HELLO", "3", "SETNAME", options.ClientName);
        await AskAsync(hello, endpoint, cancellationToken).ConfigureAwait(false);
        if (endpoint.Database != 0)
        {
            await AskAsync(RespCommand.Of("SELECT", endpoint.Database), endpoint, cancellationToken).ConfigureAwait(false);
        }

        await AskAsync(RespCommand.Of("PING"), endpoint, cancellationToken).ConfigureAwait(false);
    }

    private async Task AskAsync(RespCommand command, RespEndpoint endpoint, CancellationToken cancellationToken)
    {
        await stream.WriteAsync(command.Encoded, cancellationToken).ConfigureAwait(false);
        RespValue answer = await ReadAsync(cancellationToken).ConfigureAwait(false);
        if (answer.Kind is RespKind.Error)
        {
            var refusal = new RespServerException(command.Name, answer.AsString());
            throw refusal.Code is "NOAUTH" or "WRONGPASS" or "NOPERM"
                ? new RespConnectionException(RespConnectionFailure.AuthenticationFailed, inDoubt: false, $"{endpoint}: {refusal.Message}", refusal)
                : new RespConnectionException(RespConnectionFailure.ConnectFailed, inDoubt: false, $"{endpoint}: {refusal.Message}", refusal);
        }
    }
}
