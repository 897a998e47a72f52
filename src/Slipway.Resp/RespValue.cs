using System.Globalization;
using System.Text;

namespace Slipway.Resp;

/// <summary>The types of RESP3 (and RESP2's nulls), as the specification names them.</summary>
public enum RespKind
{
    Null,
    SimpleString,
    BulkString,
    Verbatim,
    Error,
    Integer,
    Double,
    Boolean,
    BigNumber,
    Array,
    Map,
    Set,
    Push,
}

/// <summary>
/// One decoded reply. Owns its bytes (they are copied out of the receive buffer), so it may be kept for any time.
/// </summary>
public readonly struct RespValue
{
    private readonly long number;
    private readonly object? items;
    private readonly ReadOnlyMemory<byte> bytes;

    private RespValue(RespKind kind, long number, ReadOnlyMemory<byte> bytes, RespValue[]? items)
    {
        Kind = kind;
        this.number = number;
        this.bytes = bytes;
        this.items = items;
    }

    public RespKind Kind { get; }

    public bool IsNull => Kind is RespKind.Null;

    /// <summary>The elements of an array, set or push; of a map: key, value, key, value, … Empty for everything else.</summary>
    public IReadOnlyList<RespValue> Items => items as RespValue[] ?? [];

    internal static RespValue Null => default;

    /// <summary>The most frequent simple string, shared.</summary>
    internal static RespValue Ok { get; } = new(RespKind.SimpleString, 0, "OK"u8.ToArray(), null);

    internal static RespValue Integer(long value) => new(RespKind.Integer, value, default, null);

    internal static RespValue Boolean(bool value) => new(RespKind.Boolean, value ? 1 : 0, default, null);

    internal static RespValue Double(double value) => new(RespKind.Double, BitConverter.DoubleToInt64Bits(value), default, null);

    internal static RespValue Text(RespKind kind, ReadOnlyMemory<byte> bytes) => new(kind, 0, bytes, null);

    internal static RespValue Aggregate(RespKind kind, RespValue[] items) => new(kind, 0, default, items);

    /// <exception cref="RespException">The reply is not an integer (or a boolean, or text that is one).</exception>
    public long AsInteger()
    {
        if (Kind is RespKind.Integer or RespKind.Boolean)
        {
            return number;
        }

        return IsText && long.TryParse(bytes.Span, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long parsed)
            ? parsed
            : throw Unexpected("an integer");
    }

    /// <exception cref="RespException">The reply is not a number.</exception>
    public double AsDouble() => Kind switch
    {
        RespKind.Double => BitConverter.Int64BitsToDouble(number),
        RespKind.Integer => number,
        _ when IsText && double.TryParse(bytes.Span, NumberStyles.Float, CultureInfo.InvariantCulture, out double parsed) => parsed,
        _ => throw Unexpected("a number"),
    };

    /// <exception cref="RespException">The reply is neither text nor null.</exception>
    public ReadOnlyMemory<byte> AsBytes() => IsText ? bytes : throw Unexpected("a string");

    /// <exception cref="RespException">The reply is not text.</exception>
    public string AsString() => Kind switch
    {
        _ when IsText => Encoding.UTF8.GetString(bytes.Span),
        RespKind.Integer => number.ToString(CultureInfo.InvariantCulture),
        _ => throw Unexpected("a string"),
    };

    /// <summary>For logs and tests. Not a wire form.</summary>
    public override string ToString() => Kind switch
    {
        RespKind.Null => "(null)",
        RespKind.Integer => number.ToString(CultureInfo.InvariantCulture),
        RespKind.Boolean => number != 0 ? "true" : "false",
        RespKind.Double => AsDouble().ToString(CultureInfo.InvariantCulture),
        _ when IsText => Encoding.UTF8.GetString(bytes.Span),
        _ => $"{Kind}[{string.Join(", ", Items)}]",
    };

    internal bool IsText => Kind is RespKind.BulkString or RespKind.SimpleString or RespKind.Verbatim or RespKind.BigNumber or RespKind.Error;

    private RespException Unexpected(string wanted) => new($"Expected {wanted} from Redis, got {Kind}.");
}
