using System.Buffers.Binary;

namespace Slipway.BuildCache.Cas;

/// <summary>
/// A zstd frame that holds bytes as they are (RFC 8878, raw blocks), for clients that ask for the compressed form of what is stored
/// uncompressed: some ten bytes around it, and no work.
/// </summary>
/// <remarks><c>header (5 to 14 bytes) | 3 bytes, up to 128 KiB | 3 bytes, up to 128 KiB | …</c></remarks>
internal static class RawZstdFrame
{
    /// <summary>The most that one block may hold.</summary>
    public const int BlockSize = 128 * 1024;

    public const int BlockHeaderSize = 3;

    private const int SingleSegment = 0x20;

    // log2 of the window less 10, in the upper five bits: 128 KiB. A decoder then needs no more memory than a block, however long the blob.
    private const byte Window = 7 << 3;

    /// <summary>Bytes before the first block of a frame that holds <paramref name="length"/> bytes.</summary>
    public static int HeaderSize(long length) => length switch
    {
        < 256 => 6,
        < 65536 + 256 => 7,
        <= BlockSize => 9,
        <= uint.MaxValue => 10,
        _ => 14,
    };

    /// <summary>Bytes of the whole frame.</summary>
    public static long Size(long length) => HeaderSize(length) + Math.Max(1, (length + BlockSize - 1) / BlockSize) * BlockHeaderSize + length;

    /// <summary>Writes the frame's header and returns its size.</summary>
    public static int WriteHeader(Span<byte> to, long length)
    {
        // Magic number 0xFD2FB528.
        BinaryPrimitives.WriteUInt32LittleEndian(to, 0xFD2FB528);
        switch (HeaderSize(length))
        {
            case 6:
                to[4] = SingleSegment;
                to[5] = (byte)length;
                return 6;
            case 7:
                to[4] = 1 << 6 | SingleSegment;
                BinaryPrimitives.WriteUInt16LittleEndian(to[5..], (ushort)(length - 256));
                return 7;
            case 9:
                to[4] = 2 << 6 | SingleSegment;
                BinaryPrimitives.WriteUInt32LittleEndian(to[5..], (uint)length);
                return 9;
            case 10:
                to[4] = 2 << 6;
                to[5] = Window;
                BinaryPrimitives.WriteUInt32LittleEndian(to[6..], (uint)length);
                return 10;
            default:
                to[4] = 3 << 6;
                to[5] = Window;
                BinaryPrimitives.WriteUInt64LittleEndian(to[6..], (ulong)length);
                return 14;
        }
    }

    public static void WriteBlockHeader(Span<byte> to, int length, bool last)
    {
        var header = length << 3 | (last ? 1 : 0);
        to[0] = (byte)header;
        to[1] = (byte)(header >> 8);
        to[2] = (byte)(header >> 16);
    }
}
