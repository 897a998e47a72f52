using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Slipway.Testing;

/// <summary>What a <see cref="FaultProxy"/> does to those who connect.</summary>
public enum NetworkFault
{
    None,

    /// <summary>Connections end as soon as they are made.</summary>
    Gone,

    /// <summary>Connections are taken and requests read, but nothing is ever answered.</summary>
    Hangs,

    /// <summary>Every HTTP request is answered with 503, and the server behind never sees it.</summary>
    Answers503,

    /// <summary>The connection is cut after the first <see cref="FaultProxy.CutAfterBytes"/> bytes of an answer.</summary>
    CutsAnswers,

    /// <summary>The connection is cut after the first <see cref="FaultProxy.CutAfterBytes"/> bytes of what is sent.</summary>
    CutsRequests,
}

/// <summary>Stands between a client and a server on loopback, and is the bad network in between.</summary>
public sealed class FaultProxy : IAsyncDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource stopping = new();
    private readonly ConcurrentDictionary<Connection, bool> connections = new();
    private readonly int target;
    private readonly Task accepting;
    private volatile NetworkFault fault;
    private long bytesToServer;
    private long bytesToClient;
    private int accepted;

    /// <param name="target">The server's port on loopback.</param>
    public FaultProxy(int target)
    {
        this.target = target;
        listener.Start();
        Port = ((IPEndPoint)listener.LocalEndpoint).Port;
        accepting = AcceptAsync();
    }

    public int Port { get; }

    public int CutAfterBytes { get; set; } = 100;

    /// <summary>Before every block of an answer (64 KiB at most).</summary>
    public TimeSpan Delay { get; set; }

    /// <summary>Connections made so far.</summary>
    public int Accepted => Volatile.Read(ref accepted);

    public long BytesToServer => Interlocked.Read(ref bytesToServer);

    public long BytesToClient => Interlocked.Read(ref bytesToClient);

    /// <summary>Connections that are open are cut when it changes, as they were made under other conditions.</summary>
    public NetworkFault Fault
    {
        get => fault;
        set
        {
            fault = value;
            CutAll();
        }
    }

    public void CutAll()
    {
        foreach (var connection in connections.Keys)
        {
            connection.Cut();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync();
        listener.Stop();
        CutAll();
        await accepting;
        stopping.Dispose();
    }

    private async Task AcceptAsync()
    {
        List<Task> serving = [];
        try
        {
            while (true)
            {
                var client = await listener.AcceptSocketAsync(stopping.Token);
                Interlocked.Increment(ref accepted);
                serving.RemoveAll(task => task.IsCompleted);
                serving.Add(ServeAsync(client));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
        }

        CutAll();
        await Task.WhenAll(serving);
    }

    private async Task ServeAsync(Socket client)
    {
        using var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        using var connection = new Connection(client, server);
        connections[connection] = true;
        try
        {
            switch (fault)
            {
                case NetworkFault.Gone:
                    client.Close(timeout: 0);
                    return;
                case NetworkFault.Hangs:
                    await SwallowAsync(client, answer: null);
                    return;
                case NetworkFault.Answers503:
                    await SwallowAsync(client, "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"u8.ToArray());
                    return;
            }

            client.NoDelay = true;
            await server.ConnectAsync(IPAddress.Loopback, target, stopping.Token);
            var there = PumpAsync(client, server, fault == NetworkFault.CutsRequests, connection, toServer: true);
            var back = PumpAsync(server, client, fault == NetworkFault.CutsAnswers, connection, toServer: false);
            await Task.WhenAll(there, back);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
        }
        finally
        {
            connections.TryRemove(connection, out _);
        }
    }

    private async Task PumpAsync(Socket from, Socket to, bool cuts, Connection connection, bool toServer)
    {
        var buffer = new byte[64 << 10];
        long passed = 0;
        try
        {
            while (await from.ReceiveAsync(buffer, stopping.Token) is > 0 and var count)
            {
                if (cuts && passed + count > CutAfterBytes)
                {
                    await to.SendAsync(buffer.AsMemory(0, (int)Math.Max(0, CutAfterBytes - passed)), stopping.Token);
                    connection.Cut();
                    return;
                }

                if (!toServer && Delay > TimeSpan.Zero)
                {
                    await Task.Delay(Delay, stopping.Token);
                }

                passed += count;
                Interlocked.Add(ref toServer ? ref bytesToServer : ref bytesToClient, count);
                for (var sent = 0; sent < count;)
                {
                    sent += await to.SendAsync(buffer.AsMemory(sent, count - sent), stopping.Token);
                }
            }

            to.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            connection.Cut();
        }
    }

    private async Task SwallowAsync(Socket client, byte[]? answer)
    {
        var buffer = new byte[64 << 10];
        while (await client.ReceiveAsync(buffer, stopping.Token) > 0)
        {
            if (answer is not null)
            {
                // Once; the rest of a body is read on, so that the answer arrives before the connection ends.
                await client.SendAsync(answer, stopping.Token);
                client.Shutdown(SocketShutdown.Send);
                answer = null;
            }
        }
    }

    private sealed class Connection(Socket client, Socket server) : IDisposable
    {
        public void Cut()
        {
            // With a reset, as a broken network has it, not with an orderly end.
            client.Close(timeout: 0);
            server.Close(timeout: 0);
        }

        public void Dispose() => Cut();
    }
}
