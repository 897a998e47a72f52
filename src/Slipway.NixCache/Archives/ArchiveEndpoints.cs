using System.Text.Json;
using System.Text.Json.Serialization;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Routing;
using Slipway.Api;
using Slipway.Data;
using Slipway.Tenancy;

namespace Slipway.NixCache;

/// <summary>
/// Push archives over HTTP: open, append (resumable at any byte), wait. The last byte makes a job; see <see cref="ArchiveJob"/>.
/// </summary>
/// <remarks>
/// <code>
/// POST archives            → uploading   row committed, then 201 with the offset to go on from
/// PATCH content …          → uploading   bytes appended as they come; a cut keeps what arrived
/// PATCH content, complete  → queued      file synced, state committed, job enqueued (in this order), then 202
/// job                      → running → done | failed
/// GET archive?wait=30s     waits for the end
/// </code>
/// A kill between any two of these is healed: an unfinished upload is found again by its resume key, a queued archive without
/// a job is enqueued again by <see cref="ArchiveRecovery"/>, and the job id is the archive's id, so it never runs twice for long.
/// </remarks>
internal sealed class ArchiveEndpoints(
    Database database, CacheDirectory caches, ArchiveFiles files, ArchiveWaiters waiters, NixJobs jobs, Changes changes,
    Authenticator authenticator, NixCacheOptions options, TimeProvider time)
{
    /// <summary>Unfinished archives one principal may have in one cache: parallel pushes, with a wide margin.</summary>
    private const int MaxOpenArchives = 256;

    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(60);

    /// <summary>A second server may finish the job; without its wake-up the row is looked at this often.</summary>
    private static readonly TimeSpan Recheck = TimeSpan.FromSeconds(2);

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapPost(Routes.Archives, (string org, string cache, ArchiveEndpoints archives, HttpContext http, CancellationToken cancellationToken) =>
                archives.CreateAsync(org, cache, http, cancellationToken))
            .RequirePermission(NixPermissions.Push, resourceRouteValue: "cache")
            .WithName("createArchive").WithTags("Nix caches").WithSummary("Open an upload of paths, or find the unfinished one with the same resume key.")
            .Takes(typeof(CreateArchiveRequest)).Produces<Archive>(StatusCodes.Status201Created);
        endpoints.MapPatch(Routes.ArchiveContent, (string org, string cache, string archive, ArchiveEndpoints archives, HttpContext http, CancellationToken cancellationToken) =>
                archives.AppendAsync(org, cache, archive, http, cancellationToken))
            .RequirePermission(NixPermissions.Push, resourceRouteValue: "cache")
            .WithName("appendArchive").WithTags("Nix caches").WithSummary("Append bytes at Upload-Offset; Upload-Complete: ?1 with the last ones.")
            .Produces<Archive>(StatusCodes.Status202Accepted);
        endpoints.MapGet(Routes.Archive, (string org, string cache, string archive, int? wait, ArchiveEndpoints archives, HttpContext http, CancellationToken cancellationToken) =>
                archives.ShowAsync(org, cache, archive, wait ?? 0, http, cancellationToken))
            .RequirePermission(NixPermissions.Push, resourceRouteValue: "cache")
            .WithName("showArchive").WithTags("Nix caches").WithSummary("Show an archive; ?wait=30 holds the answer until it is finished, up to 60 seconds.")
            .Produces<Archive>();
    }

    private async Task<IResult> CreateAsync(string org, string cacheName, HttpContext http, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.CreateArchiveRequest, cancellationToken);
        faults.Require(request.ResumeKey.Length is >= 1 and <= 128, "/resumeKey", "must have 1 to 128 characters");
        faults.Require(request.Paths is >= 1 and <= 10_000, "/paths", "must be 1 to 10,000");
        faults.ThrowIfAny();
        var cache = Find(org, cacheName);
        var caller = http.GetCaller();
        var origin = caller.Origin(http);
        var created = await changes.CommitAsync(http, ApiJson.Default.Archive, async (change, token) =>
        {
            var parameters = new
            {
                id = EntityId.New(time),
                cacheId = cache.Settings.Id,
                owner = caller.PrincipalId,
                key = request.ResumeKey,
                paths = request.Paths,
                origin = JsonSerializer.Serialize(origin, ArchiveJson.Default.ChangeOrigin),
                now = change.Now,
                most = MaxOpenArchives,
            };
            var open = await change.Connection.ExecuteScalarAsync<int>(new CommandDefinition(
                "select count(*) from nix_archive where cache_id = @cacheId and owner_id = @owner and state = 'uploading'",
                parameters, change.Transaction, cancellationToken: token));
            // Going on with an unfinished one takes the credential of now: the old key may be gone.
            var row = open >= MaxOpenArchives
                ? null
                : await change.Connection.QuerySingleAsync<ArchiveRow>(new CommandDefinition(
                    $"""
                    insert into nix_archive (id, cache_id, owner_id, resume_key, paths, state, origin, created_at, touched_at)
                    values (@id, @cacheId, @owner, @key, @paths, 'uploading', @origin::jsonb, @now, @now)
                    on conflict (cache_id, owner_id, resume_key) where state = 'uploading'
                        do update set touched_at = @now, origin = excluded.origin
                    returning {ArchiveRow.Columns}
                    """,
                    parameters, change.Transaction, cancellationToken: token));
            return row is null
                ? throw ApiException.Conflict($"You have {MaxOpenArchives} unfinished archives in {cache.Settings.FullName}.", "Finish or wait for some; unfinished ones are dropped after a day.")
                : row.Shown(files.DurableLength(row.Id));
        }, cancellationToken);
        return TypedResults.Created(http.Request.Path + "/" + created.Id, created);
    }

    private async Task<IResult> AppendAsync(string org, string cacheName, string archiveId, HttpContext http, CancellationToken cancellationToken)
    {
        var caller = http.GetCaller();
        var cache = Find(org, cacheName);
        var row = await FindAsync(cache, Id(archiveId), caller, cancellationToken);
        var complete = http.Request.Headers[ArchiveFormat.UploadCompleteHeader].ToString() == "?1";
        if (row.State != "uploading")
        {
            // The answer to the last PATCH was lost and the client asks again.
            return complete ? Accepted(row, row.Size) : throw ApiException.Conflict($"The archive is {row.State} already.");
        }

        if (!long.TryParse(http.Request.Headers[ArchiveFormat.UploadOffsetHeader], System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out var offset))
        {
            throw new ApiException(StatusCodes.Status400BadRequest, ProblemCodes.InvalidRequest, $"The header {ArchiveFormat.UploadOffsetHeader} must say at which byte this request starts.");
        }

        if (http.Request.ContentLength > options.MaxArchiveBytes - offset)
        {
            throw TooLarge();
        }

        await using var file = files.TryAppend(row.Id) ?? throw ApiException.Conflict("Another request is writing this archive.");
        if (offset != file.Length)
        {
            http.Response.Headers[ArchiveFormat.UploadOffsetHeader] = file.Length.ToString(System.Globalization.CultureInfo.InvariantCulture);
            throw ApiException.Conflict($"The archive has {file.Length} bytes; go on from there.");
        }

        http.Features.GetRequiredFeature<IHttpMaxRequestBodySizeFeature>().MaxRequestBodySize = null;
        await ReceiveAsync(http, file, cancellationToken);
        var decision = await authenticator.DecideAgainAsync(caller, NixPermissions.Push, org, cacheName, cancellationToken);
        if (!decision.IsAllowed)
        {
            throw decision.ToException();
        }

        if (!complete)
        {
            http.Response.Headers[ArchiveFormat.UploadOffsetHeader] = file.Length.ToString(System.Globalization.CultureInfo.InvariantCulture);
            return TypedResults.NoContent();
        }

        file.MakeDurable();
        await using (var connection = await database.OpenAsync(cancellationToken))
        {
            await connection.ExecuteAsync(new CommandDefinition(
                "update nix_archive set state = 'queued', size = @size, touched_at = @now where id = @Id and state = 'uploading'",
                new { row.Id, size = file.Length, now = time.GetUtcNow() }, cancellationToken: cancellationToken));
        }

        await jobs.EnqueueArchiveAsync(row.Id, cancellationToken);
        return Accepted(row with { State = "queued" }, file.Length);
    }

    private async Task ReceiveAsync(HttpContext http, ArchiveAppend file, CancellationToken cancellationToken)
    {
        var body = http.Request.BodyReader;
        while (true)
        {
            var read = await body.ReadAsync(cancellationToken);
            try
            {
                if (files.FreeBytes < options.ReserveBytes)
                {
                    throw NoRoom();
                }

                foreach (var segment in read.Buffer)
                {
                    if (file.Length + segment.Length > options.MaxArchiveBytes)
                    {
                        throw TooLarge();
                    }

                    await file.WriteAsync(segment, cancellationToken);
                }
            }
            catch (IOException)
            {
                throw NoRoom();
            }
            finally
            {
                // Also when the bytes are refused: Kestrel reads the rest away before it answers, and can't while these are out.
                body.AdvanceTo(read.Buffer.End);
            }

            if (read.IsCompleted)
            {
                return;
            }
        }
    }

    private async Task<IResult> ShowAsync(string org, string cacheName, string archiveId, int wait, HttpContext http, CancellationToken cancellationToken)
    {
        var cache = Find(org, cacheName);
        var id = Id(archiveId);
        var started = time.GetTimestamp();
        var longest = TimeSpan.FromSeconds(Math.Clamp(wait, 0, (int)LongestWait.TotalSeconds));
        while (true)
        {
            // Asked for before the row is read, so that an end in between is not missed.
            var finished = longest > TimeSpan.Zero ? waiters.Finished(id) : Task.CompletedTask;
            var row = await FindAsync(cache, id, http.GetCaller(), cancellationToken);
            var left = longest - time.GetElapsedTime(started);
            if (row.State is "done" or "failed" || left <= TimeSpan.Zero)
            {
                if (row.State is "done" or "failed")
                {
                    // Nobody else will end the waiting that was begun above.
                    waiters.Wake(id);
                }

                return TypedResults.Ok(row.Shown(row.State == "uploading" ? files.DurableLength(row.Id) : row.Size));
            }

            await Task.WhenAny(finished, Task.Delay(left < Recheck ? left : Recheck, time, cancellationToken));
        }
    }

    private ServedCache Find(string org, string cache) => caches.Find(org, cache) ?? throw ApiException.NotFound($"cache {org}/{cache}");

    private static Guid Id(string archive) =>
        EntityId.TryRead("arc", archive, out var id) ? id : throw ApiException.NotFound($"archive {archive}");

    private async Task<ArchiveRow> FindAsync(ServedCache cache, Guid id, Caller caller, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        return await connection.QuerySingleOrDefaultAsync<ArchiveRow>(new CommandDefinition(
            $"select {ArchiveRow.Columns} from nix_archive where id = @id and cache_id = @cacheId and owner_id = @owner",
            new { id, cacheId = cache.Settings.Id, owner = caller.PrincipalId }, cancellationToken: cancellationToken))
            ?? throw ApiException.NotFound($"archive {EntityId.Show("arc", id)}");
    }

    private static IResult Accepted(ArchiveRow row, long offset) => TypedResults.Accepted((string?)null, row.Shown(offset));

    private static ApiException NoRoom() =>
        new(StatusCodes.Status507InsufficientStorage, ProblemCodes.StoreFull, "The server's disk has no room for this upload.", "What arrived is kept; go on when its operator has made room.");

    private ApiException TooLarge() =>
        new(StatusCodes.Status413PayloadTooLarge, ProblemCodes.TooLarge, $"An archive may have up to {options.MaxArchiveBytes:N0} bytes.");
}

/// <summary>A row of nix_archive.</summary>
internal sealed record ArchiveRow
{
    public const string Columns = "id, state, paths, paths_added as PathsAdded, size, problem::text as Problem, created_at as CreatedAt, finished_at as FinishedAt";

    public Guid Id { get; init; }
    public string State { get; init; } = "";
    public int Paths { get; init; }
    public int PathsAdded { get; init; }
    public long Size { get; init; }
    public string? Problem { get; init; }
    public DateTime CreatedAt { get; init; }
    public DateTime? FinishedAt { get; init; }

    public Archive Shown(long offset) => new(
        EntityId.Show("arc", Id), State, offset, Paths, PathsAdded,
        Problem is null ? null : JsonSerializer.Deserialize(Problem, ApiJson.Default.Problem),
        CreatedAt, FinishedAt);
}

[JsonSerializable(typeof(ChangeOrigin))]
internal sealed partial class ArchiveJson : JsonSerializerContext;
