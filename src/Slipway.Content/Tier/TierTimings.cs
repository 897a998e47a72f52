namespace Slipway.Content;

/// <summary>When the tier does what. A period of <see cref="Timeout.InfiniteTimeSpan"/>: only when asked.</summary>
internal sealed record TierTimings
{
    /// <summary>Whether there is something to ship is looked at so often. A look costs under a microsecond a space.</summary>
    public TimeSpan Tick { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// The first byte that is not in the bucket waits for so long, so that many go together. With it everything acknowledged is in the bucket
    /// 10 s and an upload later.
    /// </summary>
    public TimeSpan ShipAfter { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How often one request asks whether other servers have news: at 5 s 17,000 requests a day, under 0.1 dollar at Amazon's price.</summary>
    public TimeSpan Poll { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How often a server without news shows that it lives.</summary>
    public TimeSpan ShowLife { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>A server that has not shown life for so long has died; another takes its objects over.
    /// A day is longer than any upgrade, and one that comes back later ships all it has once more.</summary>
    public TimeSpan TakeOverAfter { get; init; } = TimeSpan.FromDays(1);

    /// <summary>
    /// From telling that an object is removed to deleting it. Other servers copy what they use of it in that time; one that can't reach the
    /// bucket for longer may lose what it had told its clients it has.
    /// </summary>
    public TimeSpan DeleteAfter { get; init; } = TimeSpan.FromHours(2);

    /// <summary>
    /// An open segment with less than this is shipped as it is and again when it has grown; one with more is closed first. 4 MiB: segment
    /// numbers (24 bits) then last for 64 TiB of writes, and a trickle is sent at most a few times over.
    /// </summary>
    public long CloseFrom { get; init; } = 4 << 20;

    /// <summary>Entries of the log after which a snapshot spares newcomers from reading them.</summary>
    public int SnapshotEvery { get; init; } = 200;

    /// <summary>How often the local bytes are counted and what has to go is deleted.</summary>
    public TimeSpan Housekeeping { get; init; } = TimeSpan.FromSeconds(10);
}
