using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace Slipway.Resp;

/// <summary>One argument of a command: text (as UTF-8), a number, or bytes. Costs nothing until the command is encoded.</summary>
public readonly struct RespArgument
{
    private readonly string? text;
    private readonly ReadOnlyMemory<byte> bytes;
    private readonly long number;
    private readonly bool isNumber;

    private RespArgument(string? text, ReadOnlyMemory<byte> bytes, long number, bool isNumber, int length)
    {
        this.text = text;
        this.bytes = bytes;
        this.number = number;
        this.isNumber = isNumber;
        Length = length;
    }

    /// <summary>Bytes on the wire.</summary>
    internal int Length { get; }

    public static implicit operator RespArgument(string value)
    {
        ArgumentNullException.ThrowIfNull(value);
        return new(value, default, 0, false, Encoding.UTF8.GetByteCount(value));
    }

    public static implicit operator RespArgument(long value) => new(null, default, value, true, RespEncoding.LengthOf(value));

    public static implicit operator RespArgument(byte[] value) => new(null, value, 0, false, value.Length);

    public static implicit operator RespArgument(ReadOnlyMemory<byte> value) => new(null, value, 0, false, value.Length);

    internal void CopyTo(Span<byte> target)
    {
        if (text is not null)
        {
            Encoding.UTF8.GetBytes(text, target);
        }
        else if (isNumber)
        {
            Utf8Formatter.TryFormat(number, target, out _);
        }
        else
        {
            bytes.Span.CopyTo(target);
        }
    }

    /// <summary>The slot of a cluster, when it is a key.</summary>
    internal int Slot()
    {
        Span<byte> key = Length <= 256 ? stackalloc byte[Length] : new byte[Length];
        CopyTo(key);
        return KeySlot.Of(key);
    }

    /// <summary>As text: for the name of a command, and for messages about keys.</summary>
    public override string ToString()
    {
        if (text is not null)
        {
            return text;
        }

        return isNumber ? number.ToString(CultureInfo.InvariantCulture) : Encoding.UTF8.GetString(bytes.Span);
    }
}
