using System.Buffers;
using System.Runtime.CompilerServices;
using Slipway.Content;

namespace Slipway.BuildCache.Wire;

/// <summary>What REAPI calls a digest: the hash of some bytes and how many there are. Both are the blob's name.</summary>
internal readonly record struct BlobDigest(BlobKey Key, long Size)
{
    /// <summary>Hex digits of a hash of either function.</summary>
    public const int HexLength = Digest.Size * 2;

    private static readonly Digest EmptySha256 = Digest.Parse("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    private static readonly Digest EmptyBlake3 = Digest.Parse("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");

    /// <summary>The blob of no bytes, which every server has at all times.</summary>
    public bool IsEmptyBlob => Size == 0 && Key.Hash == (Key.Kind == BlobKind.Blake3 ? EmptyBlake3 : EmptySha256);

    /// <summary>Bytes of this as a message.</summary>
    public int EncodedLength => 2 + HexLength + ProtoWriter.VarintFieldLength(Size);

    /// <summary>
    /// Reads a Digest message {1 hash, 2 size_bytes} without making a string. The function comes from the request: unset means by
    /// length, and 64 digits are SHA-256 (never a guess at BLAKE3, which is as long).
    /// </summary>
    /// <exception cref="WireFormatException">Not a digest of a function that is served here.</exception>
    public static BlobDigest Read(ReadOnlySpan<byte> message, BlobKind kind)
    {
        // What every client sends: 0A 40 <64 hex> [10 <varint>].
        if (message.Length >= 2 + HexLength && message[0] == 0x0A && message[1] == HexLength && TryHex(message.Slice(2, HexLength), out var hash))
        {
            var rest = message[(2 + HexLength)..];
            if (rest.IsEmpty)
            {
                return new BlobDigest(new BlobKey(kind, hash), 0);
            }

            if (rest.Length == 2 && rest[0] == 0x10 && rest[1] < 0x80)
            {
                return new BlobDigest(new BlobKey(kind, hash), rest[1]);
            }
        }

        return ReadSlowly(message, kind);
    }

    /// <summary>64 lowercase hex digits in ASCII.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TryHex(ReadOnlySpan<byte> hex, out Digest digest)
    {
        Span<byte> bytes = stackalloc byte[Digest.Size];
        if (hex.Length == HexLength && !hex.ContainsAnyInRange((byte)'A', (byte)'F') &&
            Convert.FromHexString(hex, bytes, out _, out _) == OperationStatus.Done)
        {
            digest = Digest.FromBytes(bytes);
            return true;
        }

        digest = default;
        return false;
    }

    public void Write(ref ProtoWriter writer)
    {
        writer.BytesHeader(1, HexLength);
        Convert.TryToHexStringLower(Key.Hash.AsSpan(), writer.Reserve(HexLength), out _);
        writer.VarintField(2, Size);
    }

    /// <summary>This as a field of another message.</summary>
    public void WriteField(ref ProtoWriter writer, int field)
    {
        writer.BytesHeader(field, EncodedLength);
        Write(ref writer);
    }

    /// <summary>As it is written in resource names and messages: <c>hash/size</c>, with the function before it when it isn't SHA-256.</summary>
    public override string ToString() => Key.Kind is BlobKind.Blake3 or BlobKind.ActionBlake3 ? $"blake3/{Key.Hash}/{Size}" : $"{Key.Hash}/{Size}";

    private static BlobDigest ReadSlowly(ReadOnlySpan<byte> message, BlobKind kind)
    {
        var reader = new ProtoReader(message);
        ReadOnlySpan<byte> hex = default;
        long size = 0;
        while (reader.Next(out var field))
        {
            switch (field)
            {
                case 1:
                    hex = reader.Bytes();
                    break;
                case 2:
                    size = reader.Int64();
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        if (!TryHex(hex, out var hash))
        {
            throw new WireFormatException(hex.IsEmpty
                ? "A digest has no hash."
                : $"A digest's hash must be {HexLength} lowercase hex digits (SHA-256 or BLAKE3); this one has {hex.Length} characters.");
        }

        if (size < 0)
        {
            throw new WireFormatException($"A digest's size is negative: {size}.");
        }

        return new BlobDigest(new BlobKey(kind, hash), size);
    }
}
