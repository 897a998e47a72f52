namespace Slipway.Data;

/// <summary>
/// Ids are UUIDv7, shown as a prefix and 26 characters of Crockford base32: <c>org_01j9z3k…</c>. They sort by time of creation.
/// </summary>
public static class EntityId
{
    private const string Alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
    private const int Characters = 26;

    /// <summary>A new id; time comes from <paramref name="time"/> so that tests can order them.</summary>
    public static Guid New(TimeProvider time) => Guid.CreateVersion7(time.GetUtcNow());

    /// <summary><paramref name="id"/> as <c>prefix_…</c>.</summary>
    public static string Show(string prefix, Guid id)
    {
        Span<byte> bytes = stackalloc byte[16];
        id.TryWriteBytes(bytes, bigEndian: true, out _);
        var value = System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(bytes);
        Span<char> text = stackalloc char[Characters];
        for (var i = Characters - 1; i >= 0; i--)
        {
            text[i] = Alphabet[(int)(value & 31)];
            value >>= 5;
        }

        return $"{prefix}_{text}";
    }

    /// <summary>Reads what <see cref="Show"/> wrote, with the same prefix; anything else is refused.</summary>
    public static bool TryRead(string prefix, ReadOnlySpan<char> text, out Guid id)
    {
        id = default;
        if (text.Length != prefix.Length + 1 + Characters || !text.StartsWith(prefix, StringComparison.Ordinal) || text[prefix.Length] != '_')
        {
            return false;
        }

        UInt128 value = 0;
        var digits = text[(prefix.Length + 1)..];
        // 26 characters hold 130 bits: a first character above 7 would not fit in 128.
        if (digits[0] > '7')
        {
            return false;
        }

        foreach (var character in digits)
        {
            var digit = Alphabet.IndexOf(character, StringComparison.Ordinal);
            if (digit < 0)
            {
                return false;
            }

            value = (value << 5) | (uint)digit;
        }

        Span<byte> bytes = stackalloc byte[16];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt128BigEndian(bytes, value);
        id = new Guid(bytes, bigEndian: true);
        return true;
    }
}
