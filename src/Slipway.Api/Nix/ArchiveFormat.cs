namespace Slipway.Api;

/// <summary>
/// The push archive: many store paths in one resumable upload.
/// </summary>
/// <remarks>
/// <code>
/// archive = "slipway-archive-1\n" entry*
/// entry   = u32 length, length bytes of JSON (<see cref="ArchiveEntry"/>), chunk*, u32 0
/// chunk   = u32 length (1 to <see cref="MaxChunkBytes"/>), length bytes of the NAR, compressed as the entry says
/// u32     = 4 bytes, little endian
/// </code>
/// References come before what refers to them, unless the cache has them already. Chunks let a client compress while it sends,
/// without knowing the size.
/// </remarks>
public static class ArchiveFormat
{
    public const string MediaType = "application/vnd.slipway.archive";

    /// <summary>Media type of a PATCH that appends, as in the IETF resumable-uploads draft.</summary>
    public const string PartialUploadMediaType = "application/partial-upload";

    /// <summary>Request and response header: the offset of the first byte sent, or the next byte wanted.</summary>
    public const string UploadOffsetHeader = "Upload-Offset";

    /// <summary>Request header: <c>?1</c> when this request carries the last byte.</summary>
    public const string UploadCompleteHeader = "Upload-Complete";

    public static ReadOnlySpan<byte> Magic => "slipway-archive-1\n"u8;

    /// <summary>JSON of one entry: room for some thousands of references.</summary>
    public const int MaxEntryBytes = 2 << 20;

    public const int MaxChunkBytes = 1 << 20;
}
