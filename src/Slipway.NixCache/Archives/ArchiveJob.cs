using System.Text.Json;
using Dapper;
using Microsoft.Extensions.Logging;
using Slipway.Api;
using Slipway.Content;
using Slipway.Data;
using Slipway.Tenancy;

namespace Slipway.NixCache;

/// <summary>
/// The job type <c>nix.push_archive</c>: takes the uploaded archive apart, verifies every NAR and publishes the paths.
/// </summary>
/// <remarks>
/// May run any number of times, also twice at once: paths that are there are skipped, publishing is first writer wins, and
/// the archive's state only moves forward. Paths become visible in batches, always with their references, so a kill at any
/// point leaves complete closures and the next run goes on after them.
/// </remarks>
internal sealed partial class ArchiveJob(
    Database database,
    CacheDirectory caches,
    ContentStores stores,
    PathPublisher publisher,
    ArchiveFiles files,
    ArchiveWaiters waiters,
    NixCacheOptions options,
    NixServingMetrics metrics,
    TimeProvider time,
    ILogger<ArchiveJob> logger)
{
    public const string Type = "nix.push_archive";

    /// <summary>Paths published in one transaction: amortises the commit, and a kill repeats no more than this.</summary>
    private const int PathsPerBatch = 128;

    public async Task RunAsync(Guid archiveId, CancellationToken cancellationToken)
    {
        if (await StartAsync(archiveId, cancellationToken) is not { } archive)
        {
            // Finished by an earlier run whose acknowledgement was lost, or its cache is gone.
            files.Delete(archiveId);
            return;
        }

        Problem? problem = null;
        try
        {
            await PushAsync(archive, cancellationToken);
        }
        catch (NarRejectedException exception)
        {
            metrics.Rejected();
            problem = Refusal(exception.Status, ProblemCodes.InvalidRequest, exception.Message);
        }
        catch (ContentStoreException exception) when (exception.Failure == ContentFailure.StoreFull)
        {
            problem = Refusal(507, ProblemCodes.StoreFull, "The store of this cache is full.");
        }

        await FinishAsync(archive, problem, cancellationToken);
        files.Delete(archiveId);
        waiters.Wake(archiveId);
    }

    private async Task PushAsync(OpenArchive archive, CancellationToken cancellationToken)
    {
        var cache = caches.Find(archive.CacheId) ?? throw NarRejectedException.Because("The cache was deleted.");
        var index = await cache.IndexAsync(cancellationToken);
        var store = stores.Get(cache.Settings.StoreId);
        await using var file = files.OpenForReading(archive.Id)
            ?? throw NarRejectedException.Because("The uploaded archive is gone; push again.");
        var reader = new ArchiveReader(file);
        await reader.ReadMagicAsync(cancellationToken);
        var batch = new List<PathClaim>(PathsPerBatch);
        while (await reader.NextEntryAsync(cancellationToken) is { } entry)
        {
            var claimed = ArchiveClaim.Of(entry);
            if (index.Find(claimed.StorePath.Hash) is { } existing && StoredNarInfo.Read(existing.NarInfo).NarHash == claimed.NarHash && claimed.Signatures.Count == 0)
            {
                continue;
            }

            batch.Add(new PathClaim(claimed, await IngestAsync(store, reader, entry, cancellationToken)));
            if (batch.Count == PathsPerBatch)
            {
                await PublishAsync(archive, cache, batch, cancellationToken);
            }
        }

        await PublishAsync(archive, cache, batch, cancellationToken);
    }

    private async Task<VerifiedNar> IngestAsync(IContentStore store, ArchiveReader reader, ArchiveEntry entry, CancellationToken cancellationToken)
    {
        await using var ingest = await NarIngest.BeginAsync(store, NarFileName.CompressionOf(entry.Compression), null, options, cancellationToken);
        while (await reader.NextChunkAsync(cancellationToken) is { Length: > 0 } chunk)
        {
            await ingest.AppendAsync(chunk, cancellationToken);
        }

        var nar = await ingest.CommitAsync(null, cancellationToken);
        metrics.Ingested(nar.NarSize);
        return nar;
    }

    private async Task PublishAsync(OpenArchive archive, ServedCache cache, List<PathClaim> batch, CancellationToken cancellationToken)
    {
        if (batch.Count == 0)
        {
            return;
        }

        var added = await publisher.PublishAsync(cache, batch, archive.Origin, cancellationToken);
        metrics.Added(added);
        batch.Clear();
        await using var connection = await database.OpenAsync(cancellationToken);
        await connection.ExecuteAsync(new CommandDefinition(
            "update nix_archive set paths_added = paths_added + @added where id = @Id", new { archive.Id, added }, cancellationToken: cancellationToken));
    }

    private async Task<OpenArchive?> StartAsync(Guid archiveId, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        var row = await connection.QuerySingleOrDefaultAsync<(Guid CacheId, string Origin)?>(new CommandDefinition(
            """
            update nix_archive set state = 'running', touched_at = @now
            where id = @archiveId and state in ('queued', 'running')
            returning cache_id, origin::text
            """,
            new { archiveId, now = time.GetUtcNow() }, cancellationToken: cancellationToken));
        return row is { } archive
            ? new OpenArchive(archiveId, archive.CacheId, JsonSerializer.Deserialize(archive.Origin, ArchiveJson.Default.ChangeOrigin)!)
            : null;
    }

    private async Task FinishAsync(OpenArchive archive, Problem? problem, CancellationToken cancellationToken)
    {
        if (problem is not null)
        {
            Log.Refused(logger, EntityId.Show("arc", archive.Id), problem.Detail);
        }

        await using var connection = await database.OpenAsync(cancellationToken);
        await connection.ExecuteAsync(new CommandDefinition(
            "update nix_archive set state = @state, problem = @problem::jsonb, finished_at = @now where id = @Id and state = 'running'",
            new
            {
                archive.Id,
                state = problem is null ? "done" : "failed",
                problem = problem is null ? null : JsonSerializer.Serialize(problem, ApiJson.Default.Problem),
                now = time.GetUtcNow(),
            },
            cancellationToken: cancellationToken));
    }

    private static Problem Refusal(int status, string code, string detail) => new()
    {
        Title = "The archive was not accepted",
        Status = status,
        Code = code,
        Detail = detail,
        Type = $"/problems/{code}",
    };

    private sealed record OpenArchive(Guid Id, Guid CacheId, ChangeOrigin Origin);

    private static partial class Log
    {
        [LoggerMessage(Level = LogLevel.Information, Message = "Archive {Archive} refused: {Reason}")]
        public static partial void Refused(ILogger logger, string archive, string? reason);
    }
}
