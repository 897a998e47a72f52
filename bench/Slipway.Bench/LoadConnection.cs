using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Slipway.Bench;

/// <summary>
/// One HTTP/2 connection that keeps a number of small calls in flight. It writes frames itself and looks only at what it must, so that on two
/// cores most of the time is the server's. It does not mind flow control: what is in flight has to fit into 64 KiB.
/// </summary>
/// <param name="header">One more header, such as authorization.</param>
/// <param name="nextCall">The DATA frames of the next call, the last of which ends it; null: no more calls.</param>
internal sealed class LoadConnection(int port, string path, (string Name, string Value)? header, Func<byte[][]?> nextCall, int inFlight)
{
    private const int Window = 1 << 30;

    private readonly Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly ArrayBufferWriter<byte> output = new();
    private readonly byte[] headers = Headers(path, header);
    private readonly HashSet<int> answered = [];
    private int nextStream = 1;
    private int running;
    private long unacknowledged;

    /// <summary>Calls that ended.</summary>
    public long Done { get; private set; }

    /// <summary>Calls that ended with a message. The others failed, or were misses.</summary>
    public long Answered { get; private set; }

    /// <summary>Bytes of the answers, with the prefixes of their messages.</summary>
    public long Bytes { get; private set; }

    /// <summary>Until told to stop, or until there is no next message.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        await socket.ConnectAsync(IPAddress.Loopback, port, CancellationToken.None);
        output.Write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8);
        Frame(4, 0, 0, [0, 4, .. Int(Window), 0, 2, 0, 0, 0, 0]);
        Frame(8, 0, 0, Int(Window));
        for (var i = 0; i < inFlight; i++)
        {
            Call();
        }

        var buffer = new byte[1 << 18];
        var held = 0;
        while (!stop.IsCancellationRequested && running > 0)
        {
            if (output.WrittenCount > 0)
            {
                await socket.SendAsync(output.WrittenMemory, CancellationToken.None);
                output.ResetWrittenCount();
            }

            var read = await socket.ReceiveAsync(buffer.AsMemory(held), CancellationToken.None);
            if (read == 0)
            {
                throw new IOException("the server closed the connection");
            }

            held += read;
            var used = Consume(buffer.AsSpan(0, held));
            buffer.AsSpan(used, held - used).CopyTo(buffer);
            held -= used;
        }

        socket.Dispose();
    }

    private int Consume(ReadOnlySpan<byte> bytes)
    {
        var at = 0;
        while (bytes.Length - at >= 9)
        {
            var length = (bytes[at] << 16) | (bytes[at + 1] << 8) | bytes[at + 2];
            if (bytes.Length - at < 9 + length)
            {
                break;
            }

            var (type, flags) = (bytes[at + 3], bytes[at + 4]);
            var stream = BinaryPrimitives.ReadInt32BigEndian(bytes[(at + 5)..]) & int.MaxValue;
            switch (type)
            {
                case 0:
                    Bytes += length;
                    unacknowledged += length;
                    if (length >= 5)
                    {
                        answered.Add(stream);
                    }

                    break;
                // Some servers reset what they have answered before the client's last frame.
                case 3 when answered.Contains(stream) || BinaryPrimitives.ReadInt32BigEndian(bytes[(at + 9)..]) == 0:
                    break;
                case 3:
                    throw new IOException("the server reset a stream");
                case 4 when (flags & 1) == 0:
                    Frame(4, 1, 0, []);
                    break;
                case 6 when (flags & 1) == 0:
                    Frame(6, 1, 0, bytes.Slice(at + 9, 8));
                    break;
                case 7:
                    throw new IOException("the server says GOAWAY " + Encoding.ASCII.GetString(bytes.Slice(at + 17, length - 8)));
            }

            if (type is 0 or 1 && (flags & 1) != 0)
            {
                Done++;
                running--;
                Answered += answered.Remove(stream) ? 1 : 0;
                Call();
            }

            at += 9 + length;
        }

        if (unacknowledged > 1 << 20)
        {
            Frame(8, 0, 0, Int((int)unacknowledged));
            unacknowledged = 0;
        }

        return at;
    }

    private void Call()
    {
        if (nextCall() is not { } frames)
        {
            return;
        }

        running++;
        var stream = nextStream;
        nextStream += 2;
        Frame(1, 4, stream, headers);
        for (var at = 0; at < frames.Length; at++)
        {
            Frame(0, (byte)(at == frames.Length - 1 ? 1 : 0), stream, frames[at]);
        }
    }

    private void Frame(byte type, byte flags, int stream, ReadOnlySpan<byte> payload)
    {
        var head = output.GetSpan(9);
        head[0] = (byte)(payload.Length >> 16);
        head[1] = (byte)(payload.Length >> 8);
        head[2] = (byte)payload.Length;
        head[3] = type;
        head[4] = flags;
        BinaryPrimitives.WriteInt32BigEndian(head[5..], stream);
        output.Advance(9);
        output.Write(payload);
    }

    private static byte[] Int(int value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, value);
        return bytes;
    }

    // Literals without indexing and without Huffman: longer than a real client's, and no state to keep.
    private static byte[] Headers(string path, (string Name, string Value)? header)
    {
        var block = new ArrayBufferWriter<byte>();
        block.Write<byte>([0x83, 0x86]);
        Literal(":path", path);
        Literal(":authority", "localhost");
        Literal("content-type", "application/grpc");
        Literal("te", "trailers");
        if (header is { } more)
        {
            Literal(more.Name, more.Value);
        }

        return block.WrittenSpan.ToArray();

        void Literal(string name, string value)
        {
            block.Write<byte>([0, (byte)name.Length]);
            block.Write(Encoding.ASCII.GetBytes(name));
            block.Write<byte>([(byte)value.Length]);
            block.Write(Encoding.ASCII.GetBytes(value));
        }
    }
}
