using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Slipway.Resp.Tests;

/// <summary>A Redis whose every word is written by the test. Real sockets, no Redis.</summary>
internal sealed class FakeServer : IDisposable
{
    /// <summary>Only reached when a test fails.</summary>
    internal static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly TcpListener listener = new(IPAddress.Loopback, 0);

    public FakeServer() => listener.Start();

    public string Url => string.Create(CultureInfo.InvariantCulture, $"redis://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");

    public RespOptions Options => new() { Url = Url, MinReconnectDelay = TimeSpan.FromMilliseconds(1), MaxReconnectDelay = TimeSpan.FromMilliseconds(5) };

    public async Task<FakePeer> AcceptAsync(CancellationToken cancellationToken) =>
        new(await listener.AcceptSocketAsync(cancellationToken).AsTask().WaitAsync(Deadline, cancellationToken));

    /// <summary>Accepts and answers the handshake.</summary>
    public async Task<FakePeer> AcceptReadyAsync(CancellationToken cancellationToken)
    {
        FakePeer peer = await AcceptAsync(cancellationToken);
        await peer.ExpectAsync("HELLO 3 SETNAME slipway", "%1\r\n+proto\r\n:3\r\n", cancellationToken);
        await peer.ExpectAsync("PING", "+PONG\r\n", cancellationToken);
        return peer;
    }

    public void Dispose() => listener.Dispose();
}

/// <summary>The server's end of one connection.</summary>
internal sealed class FakePeer(Socket socket) : IDisposable
{
    private readonly StreamReader reader = new(new NetworkStream(socket), Encoding.Latin1);

    /// <summary>The next command, its words joined by blanks.</summary>
    public async Task<string> ReadAsync(CancellationToken cancellationToken)
    {
        string header = await LineAsync(cancellationToken);
        var words = new string[int.Parse(header.AsSpan(1), CultureInfo.InvariantCulture)];
        for (int i = 0; i < words.Length; i++)
        {
            string length = await LineAsync(cancellationToken);
            words[i] = await LineAsync(cancellationToken);
            words[i].Length.ShouldBe(int.Parse(length.AsSpan(1), CultureInfo.InvariantCulture));
        }

        return string.Join(' ', words);
    }

    public async Task ExpectAsync(string command, string reply, CancellationToken cancellationToken)
    {
        (await ReadAsync(cancellationToken)).ShouldBe(command);
        await SayAsync(reply, cancellationToken);
    }

    public async Task SayAsync(string raw, CancellationToken cancellationToken)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(raw);
        await socket.SendAsync(bytes, cancellationToken);
    }

    public async Task ShouldBeClosedByClientAsync(CancellationToken cancellationToken)
    {
        try
        {
            (await reader.ReadToEndAsync(cancellationToken).WaitAsync(FakeServer.Deadline, cancellationToken)).ShouldBe("");
        }
        catch (IOException)
        {
            // A reset is an end too.
        }
    }

    public void Cut()
    {
        socket.LingerState = new LingerOption(true, 0);
        socket.Close();
    }

    public void Dispose()
    {
        reader.Dispose();
        socket.Dispose();
    }

    private async Task<string> LineAsync(CancellationToken cancellationToken) =>
        await reader.ReadLineAsync(cancellationToken).AsTask().WaitAsync(FakeServer.Deadline, cancellationToken)
        ?? throw new EndOfStreamException("The client closed the connection.");
}
