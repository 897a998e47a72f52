using System.Buffers.Text;
using System.Globalization;

namespace Slipway.Resp;

/// <summary>
/// Push parser for RESP3 replies: spans of any size in, whole values out. Keeps its place between calls, so a large reply
/// that arrives in a thousand pieces is looked at once; iterative, so depth costs no stack.
/// </summary>
/// <remarks>
/// Grammar: the RESP3 specification (github.com/redis/redis-specifications, protocol/RESP3.md). Streamed strings and
/// aggregates ("$?", "*?") are refused: no Redis sends them. What a header announces is not allocated before it arrives,
/// apart from one string within the byte limit.
/// </remarks>
internal sealed class RespParser(RespOptions limits)
{
    /// <summary>Numbers, simple strings and errors are one line. Redis cuts its own errors at 4 KiB or less; scripts may return longer ones.</summary>
    private const int MaxLineBytes = 64 * 1024;

    private readonly Stack<Frame> frames = new();
    private readonly List<byte> line = [];
    private byte[]? text;
    private int textFilled;
    private RespKind textKind;
    private long replyBytes;
    private long replyElements;

    /// <summary>Where the rest of the string being read belongs (with its CR LF): may be filled without <see cref="TryRead"/>. Else empty.</summary>
    public Memory<byte> Missing => text is null ? default : text.AsMemory(textFilled);

    /// <summary>That string is complete: the next <see cref="TryRead"/> takes it, even without input.</summary>
    public bool IsWhole => text is not null && textFilled == text.Length;

    public void Filled(int bytes) => textFilled += bytes;

    /// <summary>Consumes <paramref name="input"/> up to the end of the next whole value.</summary>
    /// <returns>True with a value; false when all input is consumed and the value is not whole yet.</returns>
    /// <exception cref="RespProtocolException">Not RESP3, or over a limit. The parser must not be used again.</exception>
    public bool TryRead(ReadOnlySpan<byte> input, out int consumed, out RespValue value)
    {
        consumed = 0;
        value = default;
        while (consumed < input.Length || IsWhole)
        {
            if (text is not null)
            {
                int take = Math.Min(text.Length - textFilled, input.Length - consumed);
                input.Slice(consumed, take).CopyTo(text.AsSpan(textFilled));
                textFilled += take;
                consumed += take;
                if (textFilled < text.Length)
                {
                    return false;
                }

                if (FinishText(out value))
                {
                    return true;
                }

                continue;
            }

            int feed = input[consumed..].IndexOf((byte)'\n');
            if (feed < 0)
            {
                Append(input[consumed..]);
                consumed = input.Length;
                return false;
            }

            ReadOnlySpan<byte> piece = input.Slice(consumed, feed + 1);
            consumed += feed + 1;
            bool whole;
            if (line.Count == 0)
            {
                Count(piece.Length);
                whole = ReadLine(piece, out value);
            }
            else
            {
                Append(piece);
                byte[] joined = [.. line];
                line.Clear();
                whole = ReadLine(joined, out value);
            }

            if (whole)
            {
                return true;
            }
        }

        return false;
    }

    private bool ReadLine(ReadOnlySpan<byte> whole, out RespValue value)
    {
        if (whole.Length < 3 || whole[^2] != '\r' || whole.Length > MaxLineBytes)
        {
            throw new RespProtocolException("A line does not start with a type and end with CR LF.");
        }

        byte type = whole[0];
        ReadOnlySpan<byte> rest = whole[1..^2];
        switch (type)
        {
            case (byte)'+' when rest.SequenceEqual("OK"u8):
                return Deliver(RespValue.Ok, out value);
            case (byte)'+':
                return Deliver(RespValue.Text(RespKind.SimpleString, rest.ToArray()), out value);
            case (byte)'-':
                return Deliver(RespValue.Text(RespKind.Error, rest.ToArray()), out value);
            case (byte)':':
                return Deliver(RespValue.Integer(Number(rest)), out value);
            case (byte)'(':
                return Deliver(RespValue.Text(RespKind.BigNumber, rest.ToArray()), out value);
            case (byte)'_' when rest.IsEmpty:
                return Deliver(RespValue.Null, out value);
            case (byte)'#' when rest is [(byte)'t' or (byte)'f']:
                return Deliver(RespValue.Boolean(rest[0] == 't'), out value);
            case (byte)',':
                return Deliver(RespValue.Double(Fraction(rest)), out value);
            case (byte)'$':
                return StartText(RespKind.BulkString, Number(rest), out value);
            case (byte)'!':
                return StartText(RespKind.Error, Number(rest), out value);
            case (byte)'=':
                return StartText(RespKind.Verbatim, Number(rest), out value);
            case (byte)'*':
                return StartAggregate(RespKind.Array, Number(rest), 1, attribute: false, out value);
            case (byte)'~':
                return StartAggregate(RespKind.Set, Number(rest), 1, attribute: false, out value);
            case (byte)'>' when frames.Count == 0:
                return StartAggregate(RespKind.Push, Number(rest), 1, attribute: false, out value);
            case (byte)'%':
                return StartAggregate(RespKind.Map, Number(rest), 2, attribute: false, out value);
            case (byte)'|':
                return StartAggregate(RespKind.Map, Number(rest), 2, attribute: true, out value);
            default:
                throw new RespProtocolException($"Unknown or misplaced type byte 0x{type:x2}.");
        }
    }

    private bool StartText(RespKind kind, long length, out RespValue value)
    {
        if (length == -1 && kind is RespKind.BulkString)
        {
            return Deliver(RespValue.Null, out value);
        }

        if (length < 0)
        {
            throw new RespProtocolException("A string announces a negative length.");
        }

        Count(length);
        value = default;
        text = GC.AllocateUninitializedArray<byte>((int)length + 2);
        textFilled = 0;
        textKind = kind;
        return false;
    }

    private bool FinishText(out RespValue value)
    {
        byte[] bytes = text!;
        text = null;
        if (bytes[^2] != '\r' || bytes[^1] != '\n')
        {
            throw new RespProtocolException("A string is not followed by CR LF.");
        }

        ReadOnlyMemory<byte> content = bytes.AsMemory(0, bytes.Length - 2);
        if (textKind is RespKind.Verbatim)
        {
            // "txt:" or "mkd:" and then the text.
            content = content.Length >= 4 && content.Span[3] == ':'
                ? content[4..]
                : throw new RespProtocolException("A verbatim string has no format.");
        }

        return Deliver(RespValue.Text(textKind, content), out value);
    }

    private bool StartAggregate(RespKind kind, long count, int perEntry, bool attribute, out RespValue value)
    {
        if (count == -1 && kind is RespKind.Array)
        {
            return Deliver(RespValue.Null, out value);
        }

        if (count < 0 || count > limits.MaxReplyElements)
        {
            throw new RespProtocolException("An aggregate announces a negative length or too many elements.");
        }

        if (frames.Count >= limits.MaxReplyDepth)
        {
            throw new RespProtocolException($"A reply is nested deeper than {limits.MaxReplyDepth}.");
        }

        var frame = new Frame(kind, (int)count * perEntry, attribute);
        value = default;
        if (frame.Expected > 0)
        {
            frames.Push(frame);
            return false;
        }

        return !attribute && Deliver(RespValue.Aggregate(kind, []), out value);
    }

    /// <summary>Puts a finished value where it belongs: into the aggregate being read, or out.</summary>
    private bool Deliver(RespValue finished, out RespValue value)
    {
        if (++replyElements > limits.MaxReplyElements)
        {
            throw new RespProtocolException($"A reply has more than {limits.MaxReplyElements} elements.");
        }

        while (frames.TryPeek(out Frame? frame))
        {
            frame.Items.Add(finished);
            if (frame.Items.Count < frame.Expected)
            {
                value = default;
                return false;
            }

            frames.Pop();
            if (frame.Attribute)
            {
                // Attributes are hints beside the value that follows; nobody here asks for them.
                value = default;
                return false;
            }

            finished = RespValue.Aggregate(frame.Kind, [.. frame.Items]);
        }

        replyBytes = 0;
        replyElements = 0;
        value = finished;
        return true;
    }

    private void Append(ReadOnlySpan<byte> piece)
    {
        Count(piece.Length);
        line.AddRange(piece);
        if (line.Count > MaxLineBytes)
        {
            throw new RespProtocolException($"A line is longer than {MaxLineBytes} bytes.");
        }
    }

    private void Count(long bytes)
    {
        replyBytes += bytes;
        if (replyBytes > limits.MaxReplyBytes || bytes > limits.MaxReplyBytes)
        {
            throw new RespProtocolException($"A reply is larger than {limits.MaxReplyBytes} bytes.");
        }
    }

    private static long Number(ReadOnlySpan<byte> digits) =>
        Utf8Parser.TryParse(digits, out long number, out int used) && used == digits.Length && digits[0] != '+'
            ? number
            : throw new RespProtocolException("A number is malformed.");

    private static double Fraction(ReadOnlySpan<byte> digits) => digits switch
    {
        [(byte)'i', (byte)'n', (byte)'f'] => double.PositiveInfinity,
        [(byte)'-', (byte)'i', (byte)'n', (byte)'f'] => double.NegativeInfinity,
        [(byte)'n', (byte)'a', (byte)'n'] or [(byte)'-', (byte)'n', (byte)'a', (byte)'n'] => double.NaN,
        _ => double.TryParse(digits, NumberStyles.Float, CultureInfo.InvariantCulture, out double number)
            ? number
            : throw new RespProtocolException("A double is malformed."),
    };

    private sealed class Frame(RespKind kind, int expected, bool attribute)
    {
        public RespKind Kind => kind;

        public int Expected => expected;

        public bool Attribute => attribute;

        /// <summary>Grows as elements arrive: an announced count alone reserves nothing.</summary>
        public List<RespValue> Items { get; } = [];
    }
}

/// <summary>The peer broke the protocol or a limit. Always ends the connection: the stream has no known next boundary.</summary>
internal sealed class RespProtocolException(string message) : Exception(message);
