using System.Net.Sockets;
using System.Security.Authentication;

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
    private readonly byte[] received = new byte[32 * 1024];
    private int receivedStart;
    private int receivedEnd;

    private RespLink(RespEndpoint endpoint, Stream stream, RespOptions options)
    {
        Endpoint = endpoint;
        this.stream = stream;
        parser = new RespParser(options);
    }

    /// <summary>Who is at the other end.</summary>
    public RespEndpoint Endpoint { get; }

    /// <summary>Dials and shakes hands: HELLO 3 with credentials, SELECT, and a PING, which a server that still loads its data refuses.</summary>
    /// <exception cref="RespConnectionException"/>
    public static async Task<RespLink> OpenAsync(
        RespEndpoint endpoint, RespCredentials? credentials, int database, RespOptions options, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(options.ConnectTimeout, options.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        RespLink? link = null;
        try
        {
            Stream stream = await endpoint.DialAsync(options.Tls ?? new RespTlsOptions(), either.Token).ConfigureAwait(false);
            link = new RespLink(endpoint, stream, options);
            await link.ShakeHandsAsync(credentials, database, options, either.Token).ConfigureAwait(false);
            RespLink opened = link;
            link = null;
            return opened;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw Failed(RespConnectionFailure.ConnectFailed, $"{endpoint}: no connection within {options.ConnectTimeout}.", null);
        }
        catch (AuthenticationException cause)
        {
            throw Failed(RespConnectionFailure.TlsFailed, $"{endpoint}: {cause.Message}", cause);
        }
        catch (Exception cause) when (cause is SocketException or IOException)
        {
            throw Failed(RespConnectionFailure.ConnectFailed, $"{endpoint}: {cause.Message}", cause);
        }
        catch (RespProtocolException cause)
        {
            throw Failed(RespConnectionFailure.ProtocolViolation, $"{endpoint} does not speak RESP3: {cause.Message}", cause);
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
                if (command.Size > buffer.Length - filled)
                {
                    // Larger than a batch (which TakeBatch gives last and almost alone): straight from where it is.
                    await stream.WriteAsync(buffer.AsMemory(0, filled), cancellationToken).ConfigureAwait(false);
                    filled = 0;
                    await stream.WriteAsync(command.Encoded, cancellationToken).ConfigureAwait(false);
                    continue;
                }

                command.Encoded.CopyTo(buffer, filled);
                filled += command.Size;
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
        RespValue value;
        while (!TryRead(out value))
        {
            await ReceiveAsync(cancellationToken).ConfigureAwait(false);
        }

        return value;
    }

    /// <summary>The next reply or push, when it has arrived already.</summary>
    /// <exception cref="RespProtocolException"/>
    public bool TryRead(out RespValue value)
    {
        value = default;
        if (receivedStart == receivedEnd && !parser.IsWhole)
        {
            return false;
        }

        bool whole = parser.TryRead(received.AsSpan(receivedStart, receivedEnd - receivedStart), out int consumed, out value);
        receivedStart += consumed;
        return whole;
    }

    /// <summary>Waits for more from the server. After <see cref="TryRead"/> said no.</summary>
    /// <exception cref="EndOfStreamException">The server closed the connection.</exception>
    public async ValueTask ReceiveAsync(CancellationToken cancellationToken)
    {
        // The rest of a large string goes straight to where it will stay.
        Memory<byte> direct = parser.Missing;
        bool isDirect = direct.Length >= received.Length;
        int read = await stream.ReadAsync(isDirect ? direct : received, cancellationToken).ConfigureAwait(false);
        if (read == 0)
        {
            throw new EndOfStreamException("Redis closed the connection.");
        }

        if (isDirect)
        {
            parser.Filled(read);
            receivedStart = receivedEnd = 0;
        }
        else
        {
            receivedStart = 0;
            receivedEnd = read;
        }
    }

    /// <summary>One command outside of any pipeline: for handshakes, and for asking sentinels and nodes who is who.</summary>
    /// <exception cref="RespServerException">Refused.</exception>
    public async Task<RespValue> AskAsync(RespCommand command, CancellationToken cancellationToken)
    {
        await stream.WriteAsync(command.Encoded, cancellationToken).ConfigureAwait(false);
        RespValue answer = await ReadAsync(cancellationToken).ConfigureAwait(false);
        return answer.Kind is RespKind.Error ? throw new RespServerException(command.Name, answer.AsString()) : answer;
    }

    public ValueTask DisposeAsync() => stream.DisposeAsync();

    private async Task ShakeHandsAsync(RespCredentials? credentials, int database, RespOptions options, CancellationToken cancellationToken)
    {
        RespCommand hello = credentials is not null
            ? RespCommand.Of("HELLO", "3", "AUTH", credentials.UserOrDefault, credentials.Password, "SETNAME", options.ClientName)
            : RespCommand.Of("HELLO", "3", "SETNAME", options.ClientName);
        try
        {
            await AskAsync(hello, cancellationToken).ConfigureAwait(false);
            if (database != 0)
            {
                await AskAsync(RespCommand.Of("SELECT", database), cancellationToken).ConfigureAwait(false);
            }

            await AskAsync(RespCommand.Of("PING"), cancellationToken).ConfigureAwait(false);
        }
        catch (RespServerException refusal)
        {
            RespConnectionFailure reason = refusal.Code is "NOAUTH" or "WRONGPASS" or "NOPERM"
                ? RespConnectionFailure.AuthenticationFailed
                : RespConnectionFailure.ConnectFailed;
            throw Failed(reason, $"{Endpoint}: {refusal.Message}", refusal);
        }
    }

    private static RespConnectionException Failed(RespConnectionFailure reason, string message, Exception? cause) =>
        new(reason, inDoubt: false, message, cause);
}
