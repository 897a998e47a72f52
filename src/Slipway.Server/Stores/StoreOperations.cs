using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Slipway.Api;
using Slipway.Content;
using Slipway.Data;
using Slipway.Tenancy;

namespace Slipway.Server.Stores;

/// <summary>What operators ask of stores, whichever feature a store belongs to: what is in it, is it sound, give back what is dead.</summary>
internal sealed class StoreOperations(ContentStores stores, StoreScrubs scrubs, IEnumerable<ISpaceNames> names, Changes changes, TimeProvider time)
{
    private const string Tag = "Stores";
    private const int MostSpaces = 1_000;
    private const int LongestWait = 30;

    /// <summary>
    /// Segments of which more is alive stay: to rewrite 64 MiB for less than 3 MiB costs more than it gives. The server itself compacts below one
    /// half.
    /// </summary>
    private const double MostAlive = 0.95;

    /// <summary>Slower than 1 MiB/s a scrub of a usual store would not end within a month.</summary>
    private const long LeastRate = 1 << 20;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.StoreStats, (string store, int? top, StoreOperations o, CancellationToken cancellationToken) => o.StatsAsync(store, top ?? 10, cancellationToken))
            .RequireSuperuser().WithName("showStoreStats").WithTags(Tag).WithSummary("Show what a store holds and what that takes; ?top= names as many of its spaces.").Produces<StoreStats>();
        endpoints.MapGet(Routes.StoreScrub, (string store, int? wait, StoreOperations o, CancellationToken cancellationToken) => o.ShowScrubAsync(store, wait ?? 0, cancellationToken))
            .RequireSuperuser().WithName("showStoreScrub").WithTags(Tag).WithSummary("Show the scrub that runs, else the last; ?wait=30 holds the answer until it is finished.").Produces<StoreScrub>();
        endpoints.MapPost(Routes.StoreScrub, (string store, StoreOperations o, HttpContext http, CancellationToken cancellationToken) => o.StartScrubAsync(store, http, cancellationToken))
            .RequireSuperuser().WithName("scrubStore").WithTags(Tag).WithSummary("Read everything in a store, and set aside what has rotted.").Takes(typeof(StartScrubRequest)).Produces<StoreScrub>(StatusCodes.Status202Accepted);
        endpoints.MapPost(Routes.StopStoreScrub, (string store, StoreOperations o, HttpContext http, CancellationToken cancellationToken) => o.StopScrubAsync(store, http, cancellationToken))
            .RequireSuperuser().WithName("stopStoreScrub").WithTags(Tag).WithSummary("Stop the scrub that runs.").Produces<StoreScrub>();
        endpoints.MapPost(Routes.StoreCompaction, (string store, StoreOperations o, HttpContext http, CancellationToken cancellationToken) => o.CompactAsync(store, http, cancellationToken))
            .RequireSuperuser().WithName("compactStore").WithTags(Tag).WithSummary("Give back the dead bytes of a store's segments.").Produces<StoreCompaction>();
    }

    private async Task<IResult> StatsAsync(string name, int top, CancellationToken cancellationToken)
    {
        var faults = new Faults();
        faults.Require(top is >= 0 and <= MostSpaces, "?top", $"must be 0 to {MostSpaces}");
        faults.ThrowIfAny();
        var store = await FindAsync(name, cancellationToken);
        var usage = await Task.Run(store.Measure, cancellationToken);
        var health = await store.Store.ProbeAsync(cancellationToken);
        // The store's own space has nothing where a feature has a space for each cache.
        var spaces = usage.Spaces.Where(space => space.Owner != store.Id || space.Usage.StoredBytes > 0).ToList();
        var scrub = scrubs.Show(store).Scrub;
        return TypedResults.Ok(new StoreStats(
            store.Name, store.Path, usage.Blobs, usage.LogicalBytes, usage.StoredBytes, usage.DiskBytes, usage.DeadBytes, health.FreeBytes,
            new StoreSegments(usage.OpenSegments, usage.SealedSegments), usage.LargeFiles, new QuarantinedFiles(usage.QuarantinedFiles, usage.QuarantinedBytes), usage.IndexBytes,
            spaces.Count, [.. spaces.Take(top).Select(space => ShownOf(store, space.Owner, space.Usage))],
            store.Tier is { } tier && usage.ShippedBytes is { } shipped
                ? new StoreTier(tier.Bucket, shipped, tier.NotShippedBytes, tier.WaitingSince, tier.LocalBytes, tier.OtherServers, tier.Problem, tier.FailingSince)
                : null,
            scrub.State == ScrubState.Never ? null : scrub));
    }

    private StoreSpace ShownOf(OpenedStore store, Guid owner, SpaceUsage usage) => new(
        owner.ToString(), owner == store.Id ? "nix caches" : names.Select(one => one.NameOf(owner)).FirstOrDefault(one => one is not null),
        usage.Blobs, usage.StoredBytes, usage.LiveBytes, usage.Segments, usage.LargeFiles);

    private async Task<IResult> ShowScrubAsync(string name, int wait, CancellationToken cancellationToken)
    {
        var faults = new Faults();
        faults.Require(wait is >= 0 and <= LongestWait, "?wait", $"must be 0 to {LongestWait} seconds");
        faults.ThrowIfAny();
        var store = await FindAsync(name, cancellationToken);
        var (_, ended) = scrubs.Show(store);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, scrubs.Stopping);
        await Task.WhenAny(ended, Task.Delay(TimeSpan.FromSeconds(wait), time, over.Token));
        cancellationToken.ThrowIfCancellationRequested();
        await over.CancelAsync();
        return TypedResults.Ok(scrubs.Show(store).Scrub);
    }

    private async Task<IResult> StartScrubAsync(string name, HttpContext http, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.StartScrubRequest, cancellationToken);
        faults.Require(request.BytesPerSecond is null or >= LeastRate, "/bytesPerSecond", $"must be {LeastRate} or more, or left out");
        faults.ThrowIfAny();
        var store = await FindAsync(name, cancellationToken);
        var started = await changes.CommitAsync(http, ApiJson.Default.StoreScrub, async (change, _) =>
        {
            var scrub = await scrubs.StartAsync(store, request.BytesPerSecond ?? 0);
            change.Record(null, "store.scrub_started", TargetOf(store), new JsonObject { ["bytesPerSecond"] = scrub.BytesPerSecond });
            return scrub;
        }, cancellationToken);
        return TypedResults.Json(started, ApiJson.Default.StoreScrub, statusCode: StatusCodes.Status202Accepted);
    }

    private async Task<IResult> StopScrubAsync(string name, HttpContext http, CancellationToken cancellationToken)
    {
        var store = await FindAsync(name, cancellationToken);
        return TypedResults.Ok(await changes.CommitAsync(http, ApiJson.Default.StoreScrub, async (change, _) =>
        {
            var wasRunning = scrubs.Show(store).Scrub.State == ScrubState.Running;
            var scrub = await scrubs.StopAsync(store);
            if (wasRunning)
            {
                change.Record(null, "store.scrub_stopped", TargetOf(store), new JsonObject { ["bytesRead"] = scrub.BytesRead });
            }

            return scrub;
        }, cancellationToken));
    }

    private async Task<IResult> CompactAsync(string name, HttpContext http, CancellationToken cancellationToken)
    {
        var store = await FindAsync(name, cancellationToken);
        var before = await Task.Run(store.Measure, cancellationToken);
        try
        {
            var given = await Task.Run(() => store.Segments.CompactAsync(MostAlive, cancellationToken), cancellationToken);
            var after = await Task.Run(store.Measure, cancellationToken);
            return TypedResults.Ok(await changes.CommitAsync(http.GetCaller().Origin(http), (change, _) =>
            {
                change.Record(null, "store.compacted", TargetOf(store), new JsonObject { ["bytesGivenBack"] = given });
                return Task.FromResult(new StoreCompaction(store.Name, before.StoredBytes, after.StoredBytes, before.DeadBytes, after.DeadBytes, given));
            }, CancellationToken.None));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ContentStoreException(ContentFailure.Unavailable, $"The store {store.Name} could not be compacted: {exception.Message}", exception);
        }
    }

    // Until it is loaded everything is missing, which no figure should say.
    private async Task<OpenedStore> FindAsync(string name, CancellationToken cancellationToken)
    {
        var store = stores.Find(name) ?? throw ApiException.NotFound($"store {name}");
        await store.Segments.Loaded.WaitAsync(cancellationToken);
        return store;
    }

    private static EventTarget TargetOf(OpenedStore store) => new("store", EntityId.Show("store", store.Id), store.Name);
}

internal static class StoreServices
{
    /// <summary>After the features, whose stores have to be open when this begins, and closed when it has ended.</summary>
    public static IServiceCollection AddStoreOperations(this IServiceCollection services, ScrubOptions options)
    {
        services.AddSingleton(options);
        services.AddSingleton<StoreScrubs>();
        services.AddSingleton<StoreOperations>();
        services.AddHostedService(provider => provider.GetRequiredService<StoreScrubs>());
        return services;
    }
}
