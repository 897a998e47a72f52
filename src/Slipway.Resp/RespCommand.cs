using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace Slipway.Resp;

/// <summary>A command, encoded once (arguments are copied). Immutable; may be sent many times.</summary>
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
    /// this, such a command fails with <see cref="RespConnectionException.InDoubt"/>. What is sent again keeps its order and
    /// goes before anything newer.
    /// </summary>
    public bool Idempotent { get; init; }

    /// <summary>
    /// Once written, cancellation no longer abandons the wait for the answer: for commands that hand something over (a lease)
    /// which would be lost with the answer.
    /// </summary>
    public bool KeepsReply { get; init; }

    internal byte[] Encoded { get; }

    internal int Size => Encoded.Length;

    /// <summary>Of an EVALSHA: what to load when the server does not know it.</summary>
    internal RespScript? Script { get; private init; }

    /// <exception cref="ArgumentException">No name, or more than 2 GiB.</exception>
    public static RespCommand Of(params ReadOnlySpan<RespArgument> arguments)
    {
        if (arguments.IsEmpty)
        {
            throw new ArgumentException("A command needs at least its name.", nameof(arguments));
        }

        byte[] encoded = Allocate(RespEncoding.HeaderSize(arguments.Length) + SizeOf(arguments));
        WriteAll(encoded, RespEncoding.WriteHeader(encoded, 0, (byte)'*', arguments.Length), arguments);
        return new RespCommand(arguments[0].ToString(), encoded);
    }

    internal static RespCommand Call(
        RespScript script, ReadOnlySpan<RespArgument> keys, ReadOnlySpan<RespArgument> arguments, bool idempotent, bool keepsReply)
    {
        RespArgument count = keys.Length;
        int words = 3 + keys.Length + arguments.Length;
        ReadOnlySpan<byte> start = script.CallStart;
        byte[] encoded = Allocate(
            RespEncoding.HeaderSize(words) + start.Length + RespEncoding.BulkSize(count.Length) + SizeOf(keys) + SizeOf(arguments));
        int position = RespEncoding.WriteHeader(encoded, 0, (byte)'*', words);
        start.CopyTo(encoded.AsSpan(position));
        position = RespEncoding.WriteBulk(encoded, position + start.Length, count);
        position = WriteAll(encoded, position, keys);
        WriteAll(encoded, position, arguments);
        return new RespCommand("EVALSHA", encoded) { Script = script, Idempotent = idempotent, KeepsReply = keepsReply };
    }

    /// <summary>The argument at an index (0 is the name); null when there are fewer. For routing, not for hot paths of one server.</summary>
    internal ReadOnlyMemory<byte>? Argument(int index)
    {
        int position = 0;
        int count = ReadHeader(ref position);
        if (index >= count)
        {
            return null;
        }

        for (; ; index--)
        {
            int length = ReadHeader(ref position);
            if (index == 0)
            {
                return Encoded.AsMemory(position, length);
            }

            position += length + 2;
        }
    }

    public override string ToString() => Name;

    private int ReadHeader(ref int position)
    {
        Utf8Parser.TryParse(Encoded.AsSpan(position + 1), out int number, out int used);
        position += 1 + used + 2;
        return number;
    }

    private static byte[] Allocate(long size) => GC.AllocateUninitializedArray<byte>(
        size <= Array.MaxLength ? (int)size : throw new ArgumentException($"A command may have {Array.MaxLength} bytes at most."));

    private static long SizeOf(ReadOnlySpan<RespArgument> arguments)
    {
        long size = 0;
        foreach (ref readonly RespArgument argument in arguments)
        {
            size += RespEncoding.BulkSize(argument.Length);
        }

        return size;
    }

    private static int WriteAll(Span<byte> target, int position, ReadOnlySpan<RespArgument> arguments)
    {
        foreach (ref readonly RespArgument argument in arguments)
        {
            position = RespEncoding.WriteBulk(target, position, argument);
        }

        return position;
    }
}

/// <summary>A Lua script, called by its SHA-1 and loaded when the server does not know it.</summary>
public sealed class RespScript
{
    private readonly byte[] callStart;
    private RespCommand? load;

    public RespScript(string name, string text)
    {
        Name = name;
        Text = text;
        Hash = Convert.ToHexStringLower(SHA1.HashData(Encoding.UTF8.GetBytes(text)));
        callStart = Encoding.ASCII.GetBytes($"$7\r\nEVALSHA\r\n$40\r\n{Hash}\r\n");
    }

    public string Name { get; }

    public string Text { get; }

    /// <summary>Redis names scripts by SHA-1; nothing here depends on it being collision-free.</summary>
    public string Hash { get; }

    internal ReadOnlySpan<byte> CallStart => callStart;

    internal RespCommand Load => load ??= RespCommand.Of("SCRIPT", "LOAD", Text) with { Idempotent = true };
}
