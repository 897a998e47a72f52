namespace Slipway.Content;

/// <summary>One line of the file "tier/catalog": a change of what this server knows of the bucket.</summary>
internal sealed record CatalogLine(CatalogChange What)
{
    public Guid? Server { get; init; }

    public Guid? Space { get; init; }

    /// <summary>The number of a segment or large file on this server.</summary>
    public long? Local { get; init; }

    /// <summary>The number its own server gave it; with <see cref="CatalogChange.Applied"/> that of a log entry.</summary>
    public long? Number { get; init; }

    public long? MadeAt { get; init; }

    public long? Length { get; init; }

    public long? Bytes { get; init; }

    public string? Key { get; init; }

    public long? At { get; init; }
}

internal enum CatalogChange
{
    /// <summary>This server is called so from now on.</summary>
    Identity,

    /// <summary>A server whose large files have <c>Local</c> in the top bits of their numbers here.</summary>
    Slot,

    Segment,

    File,

    /// <summary>The segment <c>Local</c> is not here any more.</summary>
    ForgetSegment,

    ForgetFile,

    /// <summary>The engine gave the segment <c>Local</c> up; the others are to be told.</summary>
    GiveUpSegment,

    GiveUpFile,

    /// <summary>The log of <c>Server</c> is known up to <c>Number</c>.</summary>
    Applied,

    /// <summary>The next entry of the own log is about to be written; <c>Key</c> is its SHA-256. Tells it from another server's under the same name.</summary>
    Publishing,

    /// <summary>The object <c>Key</c> is to be deleted at <c>At</c> (seconds since 1970).</summary>
    DeleteLater,

    Deleted,

    /// <summary>The space <c>Space</c> was dropped here; the others are to be told.</summary>
    Drop,

    /// <summary>The space was dropped and everybody was told.</summary>
    Dropped,

    /// <summary>Numbers up to <c>Local</c> (segments) and <c>Number</c> (files) were used, also by what is long gone.</summary>
    Used,

    /// <summary>The bucket all this is about, as <c>Key</c>.</summary>
    Bucket,

    /// <summary>The objects of <c>Server</c> are this server's to remove.</summary>
    TakenOver,
}
