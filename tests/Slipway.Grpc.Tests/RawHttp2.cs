using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Slipway.Grpc.Tests;

internal enum FrameType : byte
{
    Data = 0,
    Headers = 1,
    RstStream = 3,
    Settings = 4,
    Ping = 6,
    GoAway = 7,
    WindowUpdate = 8,
}

internal sealed record Frame(FrameType Type, byte Flags, int Stream, byte[] Payload)
{
    public bool EndsStream => Type is FrameType.Data or FrameType.Headers && (Flags & 1) != 0;

    /// <summary>The error code of GOAWAY.</summary>
    public int Code => BinaryPrimitives.ReadInt32BigEndian(Payload.AsSpan(4));
}

/// <summary>HTTP/2 by hand, for what no client library would send. It gives no window but what a test asks for.</summary>
internal sealed class RawHttp2 : IDisposable
{
    private readonly Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static async Task<RawHttp2> ConnectAsync(Uri url)
    {
        var connection = new RawHttp2();
        await connection.socket.ConnectAsync(IPAddress.Loopback, url.Port, Token);
        await connection.socket.SendAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8.ToArray(), Token);
        await connection.SendAsync(FrameType.Settings, 0, 0, []);
        return connection;
    }

    public async Task SendAsync(FrameType type, byte flags, int stream, byte[] payload) => await socket.SendAsync(Encode(type, flags, stream, payload), Token);

    public async Task SendAsync(byte[] bytes) => await socket.SendAsync(bytes, Token);

    public Task OpenAsync(string path, int stream, params (string Name, string Value)[] more) => SendAsync(FrameType.Headers, 4, stream, Headers(path, more));

    public static byte[] Encode(FrameType type, byte flags, int stream, byte[] payload)
    {
        var frame = new byte[9 + payload.Length];
        BinaryPrimitives.WriteInt32BigEndian(frame, payload.Length << 8);
        frame[3] = (byte)type;
        frame[4] = flags;
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(5), stream);
        payload.CopyTo(frame, 9);
        return frame;
    }

    // Literals without indexing: no state to keep.
    public static byte[] Headers(string path, params (string Name, string Value)[] more)
    {
        var block = new List<byte> { 0x83, 0x86 };
        foreach (var (name, value) in ((string, string)[])[(":path", path), (":authority", "localhost"), ("content-type", "application/grpc"), ("te", "trailers"), .. more])
        {
            block.AddRange([0, (byte)name.Length, .. Encoding.ASCII.GetBytes(name), (byte)value.Length, .. Encoding.ASCII.GetBytes(value)]);
        }

        return [.. block];
    }

    /// <summary>The next frame that is not settings; null when the server closed the connection.</summary>
    public async Task<Frame?> ReadAsync()
    {
        while (true)
        {
            var head = new byte[9];
            if (!await FillAsync(head))
            {
                return null;
            }

            var payload = new byte[BinaryPrimitives.ReadInt32BigEndian(head) >>> 8];
            if (!await FillAsync(payload))
            {
                return null;
            }

            var frame = new Frame((FrameType)head[3], head[4], BinaryPrimitives.ReadInt32BigEndian(head.AsSpan(5)), payload);
            try
            {
                switch (frame)
                {
                    case { Type: FrameType.Settings, Flags: 0 }:
                        await SendAsync(FrameType.Settings, 1, 0, []);
                        continue;
                    case { Type: FrameType.Settings }:
                        continue;
                    case { Type: FrameType.Ping, Flags: 0 }:
                        await SendAsync(FrameType.Ping, 1, 0, frame.Payload);
                        continue;
                    default:
                        return frame;
                }
            }
            catch (SocketException)
            {
                // Cut between its frame and our answer to it: for who reads, the same end.
                return null;
            }
        }
    }

    public async Task<Frame?> ReadUntilAsync(Func<Frame, bool> wanted)
    {
        while (await ReadAsync() is { } frame)
        {
            if (wanted(frame))
            {
                return frame;
            }
        }

        return null;
    }

    /// <summary>The frames of a stream, up to its end.</summary>
    public async Task<(List<Frame> Frames, bool WasReset)> ReadStreamAsync(int stream)
    {
        var frames = new List<Frame>();
        while (await ReadAsync() is { } frame)
        {
            if (frame.Stream == stream)
            {
                frames.Add(frame);
                if (frame.EndsStream || frame.Type == FrameType.RstStream)
                {
                    return (frames, frame.Type == FrameType.RstStream);
                }
            }
        }

        throw new IOException("The server closed the connection.");
    }

    public void Dispose() => socket.Dispose();

    private async Task<bool> FillAsync(Memory<byte> memory)
    {
        try
        {
            while (memory.Length > 0)
            {
                var read = await socket.ReceiveAsync(memory, Token);
                if (read == 0)
                {
                    return false;
                }

                memory = memory[read..];
            }

            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
