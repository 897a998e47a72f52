using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Slipway.Resp;

/// <summary>One argument of a command: text (as UTF-8), a number, or bytes.</summary>
public readonly struct RespArgument
{
    private RespArgument(ReadOnlyMemory<byte> bytes) => Bytes = bytes;

    internal ReadOnlyMemory<byte> Bytes { get; }

    public static implicit operator RespArgument(string value) => new(Encoding.UTF8.GetBytes(value));

    public static implicit operator RespArgument(long value) => new(Encoding.ASCII.GetBytes(value.ToString(CultureInfo.InvariantCulture)));

    public static implicit operator RespArgument(byte[] value) => new(value);

    public static implicit operator RespArgument(ReadOnlyMemory<byte> value) => new(value);
}

/// <summary>A command, encoded once. Immutable; may be sent many times.</summary>
public sealed record RespCommand
{
    private RespCommand(string name, byte[] encoded)
    {
        Name = name;
        Encoded = encoded;
    }

    /// <summary>The first word, for messages and logs. The arguments are never logged: they may be secrets.</summary>
    public string Name { get; }

    /// <summary>
    /// Doing it twice equals doing it once, so that it is sent again when the connection is cut before the answer. Without
    /// this, such a command fails with <see cref="RespConnectionException.InDoubt"/>.
    /// </summary>
    public bool Idempotent { get; init; }

    /// <summary>
    /// Once written, cancellation no longer abandons the wait for the answer: for commands that hand something over (a lease)
    /// which would be lost with the answer.
    /// </summary>
    public bool KeepsReply { get; init; }

    internal byte[] Encoded { get; }

    public static RespCommand Of(params ReadOnlySpan<RespArgument> arguments)
    {
        if (arguments.IsEmpty)
        {
            throw new ArgumentException("A command needs at least its name.", nameof(arguments));
        }

        long size = HeaderSize(arguments.Length);
        foreach (RespArgument argument in arguments)
        {
            size += HeaderSize(argument.Bytes.Length) + argument.Bytes.Length + 2;
        }

        byte[] encoded = new byte[checked((int)size)];
        int position = WriteHeader(encoded, 0, (byte)'*', arguments.Length);
        foreach (RespArgument argument in arguments)
        {
            position = WriteHeader(encoded, position, (byte)'$', argument.Bytes.Length);
            argument.Bytes.Span.CopyTo(encoded.AsSpan(position));
            position += argument.Bytes.Length;
            "\r\n"u8.CopyTo(encoded.AsSpan(position));
            position += 2;
        }

        return new RespCommand(Encoding.UTF8.GetString(arguments[0].Bytes.Span), encoded);
    }

    public override string ToString() => Name;

    private static int HeaderSize(int number) => 3 + (number == 0 ? 1 : (int)Math.Floor(Math.Log10(number)) + 1);

    private static int WriteHeader(byte[] target, int position, byte type, int number)
    {
        target[position++] = type;
        Utf8Formatter.TryFormat(number, target.AsSpan(position), out int written);
        position += written;
        "\r\n"u8.CopyTo(target.AsSpan(position));
        return position + 2;
    }
}

/// <summary>A Lua script, called by its SHA-1 and loaded when the server does not know it.</summary>
public sealed class RespScript
{
    public RespScript(string name, string text)
    {
        Name = name;
        Text = text;
        Hash = Convert.ToHexStringLower(SHA1.HashData(Encoding.UTF8.GetBytes(text)));
    }

    public string Name { get; }

    public string Text { get; }

    /// <summary>Redis names scripts by SHA-1; nothing here depends on it being collision-free.</summary>
    public string Hash { get; }
}
