using System.Diagnostics.CodeAnalysis;
using Slipway.Content;

namespace Slipway.BuildCache.Wire;

/// <summary>A parsed ByteStream resource name. Places are offsets into the bytes it was parsed from.</summary>
/// <remarks>
/// <code>
/// read   [{instance}/]blobs/[{function}/]{hash}/{size}
///        [{instance}/]compressed-blobs/zstd/[{function}/]{hash}/{size}
/// write  [{instance}/]uploads/{uuid}/ one of the above [/anything]
/// </code>
/// The instance may be empty and may contain slashes; it ends before the first segment that is reserved.
/// </remarks>
internal readonly record struct ResourceName(int InstanceLength, int UploadStart, int UploadLength, bool IsCompressed, BlobDigest Digest)
{
    /// <summary>Longest name looked at: an instance of 1 KiB, a uuid, a digest, and some metadata behind it.</summary>
    public const int MaxLength = 4096;

    /// <summary>A uuid has 36 characters; some clients append to it.</summary>
    private const int LongestUpload = 128;

    public ReadOnlySpan<byte> Instance(ReadOnlySpan<byte> name) => name[..InstanceLength];

    /// <summary>What the client calls this upload, the same when it resumes.</summary>
    public ReadOnlySpan<byte> Upload(ReadOnlySpan<byte> name) => name.Slice(UploadStart, UploadLength);

    /// <exception cref="WireFormatException">Not the name of a blob to read.</exception>
    public static ResourceName ParseRead(ReadOnlySpan<byte> name) => Parse(name, write: false);

    /// <exception cref="WireFormatException">Not the name of a blob to write.</exception>
    public static ResourceName ParseWrite(ReadOnlySpan<byte> name) => Parse(name, write: true);

    private static ResourceName Parse(ReadOnlySpan<byte> name, bool write)
    {
        if (name.Length > MaxLength)
        {
            Refuse(write, $"it is longer than {MaxLength} bytes");
        }

        var rest = new Segments(name);
        var instanceLength = 0;
        int uploadStart = 0, uploadLength = 0;
        var segment = rest.Next(write);
        while (!segment.SequenceEqual(write ? "uploads"u8 : "blobs"u8) && (write || !segment.SequenceEqual("compressed-blobs"u8)))
        {
            if (IsReserved(segment))
            {
                Refuse(write, "a reserved word stands where the instance name ends");
            }

            instanceLength = rest.Consumed;
            segment = rest.Next(write);
        }

        if (write)
        {
            uploadStart = rest.Position;
            uploadLength = rest.Next(write).Length;
            if (uploadLength > LongestUpload)
            {
                Refuse(write, $"the upload's uuid is longer than {LongestUpload} characters");
            }

            segment = rest.Next(write);
        }

        var compressed = segment.SequenceEqual("compressed-blobs"u8);
        if (compressed)
        {
            if (!rest.Next(write).SequenceEqual("zstd"u8))
            {
                Refuse(write, "the only compressor served is zstd");
            }
        }
        else if (!segment.SequenceEqual("blobs"u8))
        {
            Refuse(write, "it names neither blobs nor compressed-blobs");
        }

        var kind = BlobKind.Sha256;
        segment = rest.Next(write);
        if (segment.Length < BlobDigest.HexLength)
        {
            // Only BLAKE3 has to be named; SHA-256 must not be, and is understood all the same.
            if (segment.SequenceEqual("blake3"u8))
            {
                kind = BlobKind.Blake3;
                segment = rest.Next(write);
            }
            else if (segment.SequenceEqual("sha256"u8))
            {
                segment = rest.Next(write);
            }
        }

        if (!BlobDigest.TryHex(segment, out var hash))
        {
            Refuse(write, "the hash must be 64 lowercase hex digits of SHA-256, or of BLAKE3 after blake3/");
        }

        if (!TrySize(rest.Next(write), out var size))
        {
            Refuse(write, "the size must be a decimal number");
        }

        if (!write && !rest.AtEnd)
        {
            Refuse(write, "something follows the size");
        }

        return new ResourceName(instanceLength, uploadStart, uploadLength, compressed, new BlobDigest(new BlobKey(kind, hash), size));
    }

    // One spelling for each size: without sign, and without leading zeros.
    private static bool TrySize(ReadOnlySpan<byte> digits, out long size)
    {
        size = 0;
        if (digits.IsEmpty || digits.Length > 18 || (digits.Length > 1 && digits[0] == '0'))
        {
            return false;
        }

        foreach (var digit in digits)
        {
            if (digit is < (byte)'0' or > (byte)'9')
            {
                return false;
            }

            size = size * 10 + (digit - '0');
        }

        return true;
    }

    private static bool IsReserved(ReadOnlySpan<byte> segment) => segment.Length switch
    {
        5 => segment.SequenceEqual("blobs"u8),
        7 => segment.SequenceEqual("uploads"u8) || segment.SequenceEqual("actions"u8),
        10 => segment.SequenceEqual("operations"u8),
        12 => segment.SequenceEqual("capabilities"u8),
        13 => segment.SequenceEqual("actionResults"u8),
        16 => segment.SequenceEqual("compressed-blobs"u8),
        _ => false,
    };

    [DoesNotReturn]
    private static void Refuse(bool write, string why) => throw new WireFormatException(
        $"The resource name is not valid: {why}. Expected [instance/]{(write ? "uploads/uuid/" : "")}blobs/[blake3/]hash/size or the same with compressed-blobs/zstd.");

    private ref struct Segments(ReadOnlySpan<byte> name)
    {
        private readonly ReadOnlySpan<byte> name = name;

        /// <summary>Where the next segment starts.</summary>
        public int Position { get; private set; }

        /// <summary>Bytes up to the end of the last segment, without the slash after it.</summary>
        public int Consumed { get; private set; }

        public readonly bool AtEnd => Position > name.Length;

        public ReadOnlySpan<byte> Next(bool write)
        {
            if (AtEnd)
            {
                Refuse(write, "it ends too early");
            }

            var rest = name[Position..];
            var slash = rest.IndexOf((byte)'/');
            var segment = slash < 0 ? rest : rest[..slash];
            if (segment.IsEmpty)
            {
                Refuse(write, "a segment is empty");
            }

            Consumed = Position + segment.Length;
            Position = Consumed + 1;
            return segment;
        }
    }
}
