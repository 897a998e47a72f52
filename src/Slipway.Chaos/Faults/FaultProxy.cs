using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;

namespace Slipway.Chaos.Faults;

internal enum Direction
{
    ToServer,
    ToClient,
}

/// <summary>A TCP proxy on loopback that can delay, reset, silence, block one way, and swallow a reply whose command was executed.</summary>
internal sealed class FaultProxy : IAsyncDisposable
{
    /// <summary>Chunks on their way per direction; more wait in the sockets, as on a real line.</summary>
    private const int MostChunks = 256;

    private readonly Socket listener;
    private readonly IPEndPoint target;
    private readonly CancellationTokenSource closing = new();
    private readonly Lock gate = new();
    private readonly List<Link> links = [];
    private readonly Task accepting;

    private FaultProxy(Socket listener, int targetPort)
    {
        this.listener = listener;
        target = new IPEndPoint(IPAddress.Loopback, targetPort);
        Port = ((IPEndPoint)listener.LocalEndPoint!).Port;
        accepting = AcceptAsync();
    }

    public int Port { get; }

    public string Url => $"redis://127.0.0.1:{Port}";

    /// <summary>Of a round trip; half of it each way.</summary>
    public TimeSpan Latency { get; set; }

    /// <summary>Up to so much more per chunk and direction. Nothing overtakes: it is one stream.</summary>
    public TimeSpan Jitter { get; set; }

    /// <summary>Connections are accepted and closed at once: nobody reaches the server.</summary>
    public bool Refuses { get; set; }

    public long Accepted { get; private set; }

    /// <summary>Requests whose reply was swallowed.</summary>
    public long RepliesLost { get; private set; }

    private Func<ReadOnlyMemory<byte>, bool>? loses;

    public static FaultProxy To(int port)
    {
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(128);
        return new FaultProxy(listener, port);
    }

    /// <summary>Cuts every connection with RST. Returns how many.</summary>
    public int Reset()
    {
        Link[] cut = Current(remove: true);
        foreach (Link link in cut)
        {
            link.Reset();
        }

        return cut.Length;
    }

    /// <summary>The connections of this moment become half-open: nothing passes any more, and neither side is told.</summary>
    public int Silence()
    {
        Link[] silent = Current(remove: false);
        foreach (Link link in silent)
        {
            link.Silent[0] = link.Silent[1] = true;
        }

        return silent.Length;
    }

    /// <summary>Nothing passes in this direction on the connections of this moment.</summary>
    public int Block(Direction direction)
    {
        Link[] blocked = Current(remove: false);
        foreach (Link link in blocked)
        {
            link.Silent[(int)direction] = true;
        }

        return blocked.Length;
    }

    /// <summary>The next request that fits goes to the server; its reply does not come back, the connection is reset instead.</summary>
    public void LoseReplyOf(Func<ReadOnlyMemory<byte>, bool> request) => Volatile.Write(ref loses, request);

    public async ValueTask DisposeAsync()
    {
        await closing.CancelAsync();
        listener.Dispose();
        await accepting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Reset();
        closing.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!closing.IsCancellationRequested)
        {
            Socket client = await listener.AcceptAsync(closing.Token);
            if (Refuses)
            {
                client.Dispose();
                continue;
            }

            Accepted++;
            _ = ServeAsync(client);
        }
    }

    private async Task ServeAsync(Socket client)
    {
        var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        client.NoDelay = true;
        var link = new Link(client, server);
        try
        {
            await server.ConnectAsync(target, closing.Token);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            link.Reset();
            return;
        }

        lock (gate)
        {
            links.Add(link);
        }

        await Task.WhenAny(PumpAsync(link, client, server, Direction.ToServer), PumpAsync(link, server, client, Direction.ToClient));
        lock (gate)
        {
            links.Remove(link);
        }

        link.Reset();
    }

    private async Task PumpAsync(Link link, Socket from, Socket to, Direction direction)
    {
        Channel<(byte[] Bytes, long Due)> line = Channel.CreateBounded<(byte[], long)>(MostChunks);
        Task sending = SendAsync(link, to, direction, line.Reader);
        byte[] buffer = new byte[64 * 1024];
        long last = 0;
        try
        {
            while (await from.ReceiveAsync(buffer, SocketFlags.None, closing.Token) is var read and > 0)
            {
                byte[] chunk = buffer[..read];
                if (direction is Direction.ToServer && Volatile.Read(ref loses) is { } fits && fits(chunk))
                {
                    Volatile.Write(ref loses, null);
                    link.LosesReply = true;
                }
                else if (direction is Direction.ToClient && link.LosesReply)
                {
                    RepliesLost++;
                    link.Reset();
                    return;
                }

                TimeSpan delay = (Latency / 2) + (Jitter * Random.Shared.NextDouble());
                last = Math.Max(last, Environment.TickCount64 + (long)delay.TotalMilliseconds);
                await line.Writer.WriteAsync((chunk, last), closing.Token);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // Cut: that is what it is for.
        }
        finally
        {
            line.Writer.TryComplete();
        }

        await sending;
    }

    private async Task SendAsync(Link link, Socket to, Direction direction, ChannelReader<(byte[] Bytes, long Due)> line)
    {
        try
        {
            await foreach ((byte[] bytes, long due) in line.ReadAllAsync(closing.Token))
            {
                if (due - Environment.TickCount64 is var wait and > 0)
                {
                    await Task.Delay((int)wait, closing.Token);
                }

                if (!link.Silent[(int)direction])
                {
                    for (ReadOnlyMemory<byte> rest = bytes; rest.Length > 0;)
                    {
                        rest = rest[await to.SendAsync(rest, SocketFlags.None, closing.Token)..];
                    }
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // Cut.
        }
    }

    private Link[] Current(bool remove)
    {
        lock (gate)
        {
            Link[] taken = [.. links];
            if (remove)
            {
                links.Clear();
            }

            return taken;
        }
    }

    private sealed class Link(Socket client, Socket server)
    {
        public bool[] Silent { get; } = new bool[2];

        public bool LosesReply { get; set; }

        public void Reset()
        {
            foreach (Socket socket in (Socket[])[client, server])
            {
                try
                {
                    // RST, as of a crashed machine: whatever is unsent is gone.
                    socket.LingerState = new LingerOption(enable: true, seconds: 0);
                }
                catch (Exception e) when (e is SocketException or ObjectDisposedException)
                {
                    // Already closed.
                }

                socket.Dispose();
            }
        }
    }
}
