using System.Globalization;

namespace Slipway.Api.Client;

/// <content>What operators ask of stores.</content>
public sealed partial class SlipwayClient
{
    /// <summary>A deep check reads every blob of a store, and a compaction may write most of one: both take as long as the disk does.</summary>
    private static readonly TimeSpan DiskTimeout = TimeSpan.FromHours(24);

    /// <param name="deep">Read contents too.</param>
    public Task<FsckReport> FsckAsync(string store, bool deep, CancellationToken cancellationToken) =>
        SendAsync(
            new Call(HttpMethod.Post, RouteTemplate.Fill(Routes.StoreFsck, store) + (deep ? "?deep=true" : "")) { IdempotencyKey = NewIdempotencyKey(), Timeout = DiskTimeout },
            (response, token) => ReadAsync(response, Json.FsckReport, token),
            cancellationToken);

    /// <param name="top">How many spaces to name; 1,000 at most.</param>
    public Task<StoreStats> GetStoreStatsAsync(string store, int top, CancellationToken cancellationToken) =>
        GetAsync(RouteTemplate.Fill(Routes.StoreStats, store) + string.Create(CultureInfo.InvariantCulture, $"?top={top}"), Json.StoreStats, cancellationToken);

    /// <summary>Begins to scrub; the server goes on by itself.</summary>
    public Task<StoreScrub> StartScrubAsync(string store, StartScrubRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.StoreScrub, store), request, ApiJson.Default.StartScrubRequest, Json.StoreScrub, cancellationToken);

    /// <summary>The scrub that runs, else the last; <paramref name="wait"/> (30 s at most) lets the server hold the answer while one runs.</summary>
    public Task<StoreScrub> GetScrubAsync(string store, TimeSpan wait, CancellationToken cancellationToken) =>
        GetAsync(
            RouteTemplate.Fill(Routes.StoreScrub, store) + (wait > TimeSpan.Zero ? string.Create(CultureInfo.InvariantCulture, $"?wait={(int)wait.TotalSeconds}") : ""),
            Json.StoreScrub,
            cancellationToken);

    public Task<StoreScrub> StopScrubAsync(string store, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.StopStoreScrub, store), Json.StoreScrub, cancellationToken);

    /// <summary>Returns when the dead bytes are given back. A call that is cancelled stops it; what was given back by then stays so.</summary>
    public Task<StoreCompaction> CompactStoreAsync(string store, CancellationToken cancellationToken) =>
        SendAsync(
            new Call(HttpMethod.Post, RouteTemplate.Fill(Routes.StoreCompaction, store)) { Timeout = DiskTimeout },
            (response, token) => ReadAsync(response, Json.StoreCompaction, token),
            cancellationToken);
}
