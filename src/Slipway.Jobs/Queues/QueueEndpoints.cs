using System.Text.Json.Nodes;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Npgsql;
using Slipway.Api;
using Slipway.Data;
using Slipway.Tenancy;

namespace Slipway.Jobs.Queues;

/// <summary>Create, list, show, change, pause and delete queues.</summary>
/// <remarks>
/// Settings are in the database, which is the truth, and in Redis, which workers go by. A change is made in the database, then in Redis,
/// then committed: when Redis is away nothing changes, and when the commit fails the next server that opens the queue puts Redis right.
/// </remarks>
internal sealed class QueueEndpoints(Database database, QueueDirectory queues, Changes changes, JobsOptions options, TimeProvider time)
{
    private const string Tag = "Work queues";
    private const int LongestDescription = 500;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.JobQueues, (string org, QueueEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ListAsync(org, http, cancellationToken))
            .RequirePermission(JobPermissions.Read).WithName("listQueues").WithTags(Tag).WithSummary("List an org's work queues.").Produces<Page<JobQueue>>();
        endpoints.MapPost(Routes.JobQueues, (string org, QueueEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.CreateAsync(org, http, cancellationToken))
            .RequirePermission(JobPermissions.Manage).WithName("createQueue").WithTags(Tag).WithSummary("Create a work queue.").Takes(typeof(CreateQueueRequest)).Produces<JobQueue>(StatusCodes.Status201Created);
        endpoints.MapGet(Routes.JobQueue, (string org, string queue, QueueEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ShowAsync(org, queue, http, cancellationToken))
            .RequirePermission(JobPermissions.Read, "queue").WithName("showQueue").WithTags(Tag).WithSummary("Show a work queue and its settings.").Produces<JobQueue>();
        endpoints.MapPatch(Routes.JobQueue, (string org, string queue, QueueEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.UpdateAsync(org, queue, http, cancellationToken))
            .RequirePermission(JobPermissions.Admin, "queue").WithName("updateQueue").WithTags(Tag).WithSummary("Change a work queue's settings and limits.").Takes(typeof(UpdateQueueRequest)).Produces<JobQueue>();
        endpoints.MapDelete(Routes.JobQueue, (string org, string queue, bool? force, QueueEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.DeleteAsync(org, queue, force ?? false, http, cancellationToken))
            .RequirePermission(JobPermissions.Manage, "queue").WithName("deleteQueue").WithTags(Tag).WithSummary("Delete a work queue and all its jobs.").Produces(StatusCodes.Status204NoContent);
        endpoints.MapPost(Routes.PauseQueue, (string org, string queue, QueueEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.PauseAsync(org, queue, true, http, cancellationToken))
            .RequirePermission(JobPermissions.Admin, "queue").WithName("pauseQueue").WithTags(Tag).WithSummary("Pause a work queue, or one job type of it.").Takes(typeof(PauseQueueRequest)).Produces<JobQueue>();
        endpoints.MapPost(Routes.ResumeQueue, (string org, string queue, QueueEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.PauseAsync(org, queue, false, http, cancellationToken))
            .RequirePermission(JobPermissions.Admin, "queue").WithName("resumeQueue").WithTags(Tag).WithSummary("Resume a work queue, or one job type of it.").Takes(typeof(PauseQueueRequest)).Produces<JobQueue>();
    }

    private async Task<IResult> ListAsync(string org, HttpContext http, CancellationToken cancellationToken)
    {
        var page = PageToken.Read(http);
        await using var connection = await database.OpenAsync(cancellationToken);
        var rows = (await connection.QueryAsync<QueueRow>(new CommandDefinition(
            $"{QueueRow.Select} where q.org_id = @orgId and q.name > @after order by q.name limit @limit",
            new { orgId = http.GetCaller().OrgId(org), after = page.After ?? "", limit = page.Size + 1 }, cancellationToken: cancellationToken))).AsList();
        return TypedResults.Ok(PageToken.Cut(http, page, rows.ConvertAll(row => row.Shown), queue => queue.Name));
    }

    private async Task<IResult> CreateAsync(string org, HttpContext http, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.CreateQueueRequest, cancellationToken);
        faults.Require(JobText.IsName(request.Name), "/name", JobText.NameRule);
        CheckDescription(faults, request.Description);
        SettingsMapping.Check(faults, request.Settings, options);
        faults.ThrowIfAny();
        var settings = SettingsMapping.Default(options).With(request.Settings);
        SettingsMapping.CheckWhole(faults, settings);
        faults.ThrowIfAny();

        var orgId = http.GetCaller().OrgId(org)!.Value;
        JobQueue created;
        try
        {
            created = await changes.CommitAsync(http, ApiJson.Default.JobQueue, async (change, token) =>
            {
                await CheckQuotaAsync(change, orgId, org, Guid.Empty, settings.MaxBytes, token);
                var id = EntityId.New(time);
                await change.Connection.ExecuteAsync(new CommandDefinition(
                    """
                    insert into job_queue (id, org_id, name, description, settings, max_bytes, created_at, updated_at)
                    values (@id, @orgId, @Name, @description, @json::jsonb, @MaxBytes, @Now, @Now)
                    """,
                    new { id, orgId, request.Name, description = request.Description ?? "", json = QueueRow.Write(settings), settings.MaxBytes, change.Now },
                    change.Transaction, cancellationToken: token));
                var row = await FindAsync(change.Connection, change.Transaction, org, orgId, request.Name, forUpdate: false, token);
                change.Record(orgId, "queue.created", row.Target, request.Settings is null ? null : new JsonObject { ["settings"] = JsonNode.Parse(row.SettingsJson) });
                return row.Shown;
            }, cancellationToken);
        }
        catch (PostgresException exception) when (exception.SqlState == PostgresErrorCodes.UniqueViolation)
        {
            throw ApiException.Conflict($"{org} has a queue named {request.Name} already.");
        }

        return TypedResults.Created($"/v1/orgs/{org}/queues/{created.Name}", created);
    }

    private async Task<IResult> ShowAsync(string org, string queue, HttpContext http, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        var row = await FindAsync(connection, null, org, http.GetCaller().OrgId(org)!.Value, queue, forUpdate: false, cancellationToken);
        return Answers.One(http, row.Shown, ApiJson.Default.JobQueue, row.ETag);
    }

    private async Task<IResult> UpdateAsync(string org, string queue, HttpContext http, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.UpdateQueueRequest, cancellationToken);
        CheckDescription(faults, request.Description);
        SettingsMapping.Check(faults, request.Settings, options);
        faults.ThrowIfAny();
        var row = await changes.CommitAsync(http.GetCaller().Origin(http), (change, token) => ChangeAsync(change, org, queue, http, before =>
        {
            ETags.Require(http, before.ETag);
            var after = before.Settings.With(request.Settings);
            SettingsMapping.CheckWhole(faults, after);
            faults.ThrowIfAny();
            return (after, request.Description ?? before.Description, "queue.updated", Differences(before, after, request.Description));
        }, token), cancellationToken);
        http.Response.Headers.ETag = row.ETag;
        return TypedResults.Ok(row.Shown);
    }

    private async Task<IResult> PauseAsync(string org, string queue, bool pause, HttpContext http, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.PauseQueueRequest, cancellationToken);
        faults.Require(request.Type is null || JobText.IsType(request.Type), "/type", JobText.TypeRule);
        faults.ThrowIfAny();
        var shown = await changes.CommitAsync(http, ApiJson.Default.JobQueue, async (change, token) =>
        {
            var row = await ChangeAsync(change, org, queue, http, before =>
            {
                var now = before.Settings;
                var after = request.Type is not { } type
                    ? now with { Paused = pause }
                    : now.With(new JobQueueSettingsChange(Types: new Dictionary<string, JobTypeLimits?> { [type] = Limits(now, type, pause) }));
                SettingsMapping.CheckWhole(faults, after);
                faults.ThrowIfAny();
                return (after, before.Description, pause ? "queue.paused" : "queue.resumed", request.Type is null ? null : new JsonObject { ["type"] = request.Type });
            }, token);
            return row.Shown;
        }, cancellationToken);
        return TypedResults.Ok(shown);

        // A type that has no other limits leaves the list when it is resumed.
        static JobTypeLimits? Limits(JobQueueSettings now, string type, bool pause)
        {
            var limits = now.Types.GetValueOrDefault(type, new JobTypeLimits()) with { Paused = pause };
            return limits == new JobTypeLimits() ? null : limits;
        }
    }

    private async Task<IResult> DeleteAsync(string org, string queue, bool force, HttpContext http, CancellationToken cancellationToken)
    {
        var orgId = http.GetCaller().OrgId(org)!.Value;
        var opened = await queues.FindAsync(http, org, queue, cancellationToken);
        await changes.CommitAsync(http.GetCaller().Origin(http), async (change, token) =>
        {
            var row = await FindAsync(change.Connection, change.Transaction, org, orgId, queue, forUpdate: true, token);
            ETags.Check(http, row.ETag);
            await change.Connection.ExecuteAsync(new CommandDefinition("delete from job_queue where id = @Id", new { row.Id }, change.Transaction, cancellationToken: token));
            // Before the commit: when Redis is away the queue stays whole, and the deletion can be tried again.
            var stats = await opened.Broker.StatsAsync(token);
            if (!force && stats.ReadyTotal + stats.Delayed + stats.Leased + stats.Waiting + stats.Dead > 0)
            {
                throw ApiException.Conflict(
                    $"{org}/{queue} holds jobs: {stats.ReadyTotal} ready, {stats.Delayed} delayed, {stats.Leased} leased, {stats.Waiting} waiting, {stats.Dead} dead.",
                    "Let workers finish them, or delete with ?force=true, which destroys them.");
            }

            if (!await opened.Broker.DeleteAsync(force, token))
            {
                throw ApiException.Conflict($"{org}/{queue} has workers.", "Stop them, or delete with ?force=true.");
            }

            change.Record(orgId, "queue.deleted", row.Target, new JsonObject { ["jobs"] = stats.ReadyTotal + stats.Delayed + stats.Leased + stats.Waiting, ["dead"] = stats.Dead });
            return true;
        }, cancellationToken);
        await queues.RemoveAsync(opened);
        return TypedResults.NoContent();
    }

    /// <summary>Changes settings in the database and in Redis, and records the event. The row is locked: changes reach Redis in the order they commit.</summary>
    private async Task<QueueRow> ChangeAsync(
        Change change, string org, string queue, HttpContext http,
        Func<QueueRow, (JobQueueSettings Settings, string Description, string Action, JsonObject? Details)> decide, CancellationToken cancellationToken)
    {
        var orgId = http.GetCaller().OrgId(org)!.Value;
        var before = await FindAsync(change.Connection, change.Transaction, org, orgId, queue, forUpdate: true, cancellationToken);
        var (settings, description, action, details) = decide(before);
        if (settings.MaxBytes > before.Settings.MaxBytes)
        {
            await CheckQuotaAsync(change, orgId, org, before.Id, settings.MaxBytes, cancellationToken);
        }

        await change.Connection.ExecuteAsync(new CommandDefinition(
            "update job_queue set settings = @json::jsonb, description = @description, max_bytes = @MaxBytes, version = version + 1, updated_at = @Now where id = @Id",
            new { before.Id, json = QueueRow.Write(settings), description, settings.MaxBytes, change.Now }, change.Transaction, cancellationToken: cancellationToken));
        var after = await FindAsync(change.Connection, change.Transaction, org, orgId, queue, forUpdate: false, cancellationToken);
        var opened = await queues.FindAsync(http, org, queue, cancellationToken);
        await opened.Broker.ConfigureAsync(_ => settings.ToQueue(), cancellationToken);
        change.Record(orgId, action, after.Target, details);
        return after;
    }

    private async Task CheckQuotaAsync(Change change, Guid orgId, string org, Guid except, long bytes, CancellationToken cancellationToken)
    {
        // The org's row: two that are made at one time must not both find the last place free.
        await change.Connection.ExecuteAsync(new CommandDefinition("select 1 from org where id = @orgId for no key update", new { orgId }, change.Transaction, cancellationToken: cancellationToken));
        var (count, taken) = await change.Connection.QuerySingleAsync<(int Count, long Bytes)>(new CommandDefinition(
            "select count(*)::int, coalesce(sum(max_bytes), 0)::bigint from job_queue where org_id = @orgId and id <> @except",
            new { orgId, except }, change.Transaction, cancellationToken: cancellationToken));
        if (count >= options.MaxQueues)
        {
            throw ApiException.Conflict($"{org} has {count} queues, which is the limit here.", "Delete one, or ask the server's operator to raise limits.queues.");
        }

        if (taken + bytes > options.MaxBytes)
        {
            throw ApiException.Conflict(
                $"maxBytes of {org}'s other queues take {taken} of the {options.MaxBytes} bytes the org may have; {bytes} more do not fit.",
                $"Lower maxBytes to {Math.Max(0, options.MaxBytes - taken)} here or of another queue, or ask the server's operator to raise limits.queueBytes.");
        }
    }

    private static async Task<QueueRow> FindAsync(
        NpgsqlConnection connection, NpgsqlTransaction? transaction, string org, Guid orgId, string queue, bool forUpdate, CancellationToken cancellationToken) =>
        await connection.QuerySingleOrDefaultAsync<QueueRow>(new CommandDefinition(
            $"{QueueRow.Select} where q.org_id = @orgId and q.name = @queue{(forUpdate ? " for update of q" : "")}", new { orgId, queue }, transaction, cancellationToken: cancellationToken))
        ?? throw ApiException.NotFound($"queue {org}/{queue}");

    private static void CheckDescription(Faults faults, string? description) =>
        faults.Require(
            description is null || (description.Length <= LongestDescription && !description.Any(char.IsControl)), "/description", $"must have at most {LongestDescription} characters, none of them control characters");

    private static JsonObject Differences(QueueRow before, JobQueueSettings after, string? description)
    {
        var from = JsonNode.Parse(QueueRow.Write(before.Settings))!.AsObject();
        var to = JsonNode.Parse(QueueRow.Write(after))!.AsObject();
        var differences = new JsonObject();
        foreach (var (name, value) in to)
        {
            if (!JsonNode.DeepEquals(from[name], value))
            {
                differences[name] = new JsonArray(from[name]?.DeepClone(), value?.DeepClone());
            }
        }

        if (description is not null && description != before.Description)
        {
            differences["description"] = new JsonArray(before.Description, description);
        }

        return differences;
    }
}
