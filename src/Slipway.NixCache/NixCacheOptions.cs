namespace Slipway.NixCache;

/// <summary>Settings of the Nix cache, checked by the configuration tree before they get here.</summary>
public sealed record NixCacheOptions
{
    /// <summary>Where clients reach the server, without a trailing slash: the start of every cache's URL.</summary>
    public required Uri PublicUrl { get; init; }

    /// <summary>Folder for archives while they are uploaded; on the same disk as the data folder.</summary>
    public required string UploadFolder { get; init; }

    /// <summary>Folder for stores that are created without a path; <c>default</c> is made there at first start.</summary>
    public required string StoreFolder { get; init; }

    /// <summary>
    /// Host names that are a cache of their own: <c>cache.acme.example</c> → <c>acme/main</c>. netrc knows neither ports nor
    /// paths, so two private caches with different credentials need two host names.
    /// </summary>
    public IReadOnlyDictionary<string, string> Hosts { get; init; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>Bytes that uploads of archives leave free on the data folder's disk: the database lies there too.</summary>
    public long ReserveBytes { get; init; } = 1L << 30;

    /// <summary>Largest NAR, both as sent and as unpacked. 64 GiB: the largest packages in nixpkgs (CUDA) are about 10 GiB.</summary>
    public long MaxNarBytes { get; init; } = 64L << 30;

    /// <summary>Largest push archive.</summary>
    public long MaxArchiveBytes { get; init; } = 64L << 30;

    /// <summary>Largest narinfo: room for the 10,000 references <c>NarInfo</c> allows, at most 211 + 34 characters each.</summary>
    public int MaxNarInfoBytes { get; init; } = 2 << 20;

    /// <summary>Largest build log.</summary>
    public long MaxLogBytes { get; init; } = 64L << 20;

    /// <summary>
    /// Uploads verified at once. Each holds under 1 MiB of buffers (up to 128 MiB of window for a zstd that asks for it); past
    /// this a PUT gets 503 before its body, which clients retry cleanly.
    /// </summary>
    public int MaxConcurrentIngests { get; init; } = 64;

    /// <summary>Push archives executed at once by this server: one per core keeps the other requests served.</summary>
    public int ArchiveWorkers { get; init; } = Math.Max(1, Environment.ProcessorCount);

    /// <summary>An unfinished archive nobody continues is dropped after this long.</summary>
    public TimeSpan AbandonedUploadAge { get; init; } = TimeSpan.FromHours(24);

    /// <summary>A NAR whose narinfo never came is dropped after this long; newer clients send all NARs first, hours before.</summary>
    public TimeSpan OrphanNarAge { get; init; } = TimeSpan.FromHours(24);

    /// <summary>
    /// A blob nothing refers to is deleted after this long. Longer than the time between a blob's publication and the row that
    /// refers to it (seconds), by a wide margin.
    /// </summary>
    public TimeSpan UnreferencedBlobAge { get; init; } = TimeSpan.FromHours(1);
}
