using System.Text.Json;
using System.Text.Json.Nodes;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Npgsql;
using Slipway.Api;
using Slipway.Data;
using Slipway.Jobs.Producing;
using Slipway.Jobs.Queues;
using Slipway.Queue.Work;
using Slipway.Tenancy;

namespace Slipway.Jobs.Schedules;

/// <summary>Schedules of a queue: made and replaced by name, fired by <see cref="ScheduleTicker"/>.</summary>
internal sealed class ScheduleEndpoints(Database database, QueueDirectory queues, ScheduleTicker ticker, Changes changes, JobsOptions options, TimeProvider time)
{
    private const string Tag = "Schedules";

    /// <summary>Of one queue. Every server reads all of them again each ten seconds.</summary>
    private const int MostSchedules = 100;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.Schedules, (string org, string queue, ScheduleEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ListAsync(org, queue, http, cancellationToken))
            .RequirePermission(JobPermissions.Read, "queue").WithName("listSchedules").WithTags(Tag).WithSummary("List a queue's schedules.").Produces<Page<JobSchedule>>();
        endpoints.MapGet(Routes.Schedule, (string org, string queue, string schedule, ScheduleEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ShowAsync(org, queue, schedule, http, cancellationToken))
            .RequirePermission(JobPermissions.Read, "queue").WithName("showSchedule").WithTags(Tag).WithSummary("Show a schedule and when it fires next.").Produces<JobSchedule>();
        endpoints.MapPut(Routes.Schedule, (string org, string queue, string schedule, ScheduleEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.SetAsync(org, queue, schedule, http, cancellationToken))
            .RequirePermission(JobPermissions.Admin, "queue").WithName("setSchedule").WithTags(Tag).WithSummary("Make a schedule, or replace the one of that name.").Takes(typeof(SetScheduleRequest)).Produces<JobSchedule>();
        endpoints.MapDelete(Routes.Schedule, (string org, string queue, string schedule, ScheduleEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.DeleteAsync(org, queue, schedule, http, cancellationToken))
            .RequirePermission(JobPermissions.Admin, "queue").WithName("deleteSchedule").WithTags(Tag).WithSummary("Delete a schedule.").Produces(StatusCodes.Status204NoContent);
    }

    private async Task<IResult> ListAsync(string org, string queueName, HttpContext http, CancellationToken cancellationToken)
    {
        var page = PageToken.Read(http);
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        List<ScheduleRow> rows;
        await using (var connection = await database.OpenAsync(cancellationToken))
        {
            rows = (await connection.QueryAsync<ScheduleRow>(new CommandDefinition(
                $"{ScheduleRow.Select} where s.queue_id = @Id and s.name > @after order by s.name limit @limit",
                new { queue.Id, after = page.After ?? "", limit = page.Size + 1 }, cancellationToken: cancellationToken))).AsList();
        }

        var shown = await Task.WhenAll(rows.Select(row => ShownAsync(queue, row, cancellationToken)));
        return TypedResults.Ok(PageToken.Cut(http, page, shown, schedule => schedule.Name));
    }

    private async Task<IResult> ShowAsync(string org, string queueName, string name, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        await using var connection = await database.OpenAsync(cancellationToken);
        var row = await FindAsync(connection, null, queue, name, forUpdate: false, cancellationToken) ?? throw NotFound(queue, name);
        return Answers.One(http, await ShownAsync(queue, row, cancellationToken), ApiJson.Default.JobSchedule, row.ETag);
    }

    private async Task<IResult> SetAsync(string org, string queueName, string name, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.SetScheduleRequest, cancellationToken);
        faults.Require(JobText.IsName(name), "/schedule", JobText.NameRule);
        faults.Require(request.CatchUp is null or "skip" or "once" or "all", "/catchUp", "must be skip, once or all");
        try
        {
            CronExpression.Parse(request.Cron, request.TimeZone);
        }
        catch (FormatException wrong)
        {
            faults.Add("/cron", "is not usable: " + wrong.Message);
        }

        var job = request.Job;
        JobDrafts.Of(job, "/job", options, faults);
        faults.Require(job.Id is null && job.DelayMs is null && job.At is null && job.Batch is null && job.After is null, "/job", "must have no id, delay, batch or jobs to wait for");
        faults.ThrowIfAny();

        var row = await changes.CommitAsync(http.GetCaller().Origin(http), async (change, token) =>
        {
            await change.Connection.ExecuteAsync(new CommandDefinition("select 1 from job_queue where id = @Id for no key update", new { queue.Id }, change.Transaction, cancellationToken: token));
            var before = await FindAsync(change.Connection, change.Transaction, queue, name, forUpdate: true, token);
            if (before is not null)
            {
                ETags.Check(http, before.ETag);
            }
            else if (await change.Connection.ExecuteScalarAsync<int>(new CommandDefinition("select count(*)::int from job_schedule where queue_id = @Id", new { queue.Id }, change.Transaction, cancellationToken: token)) >= MostSchedules)
            {
                throw ApiException.Conflict($"{org}/{queueName} has {MostSchedules} schedules, which is the limit.", "Delete one, or use another queue.");
            }

            await change.Connection.ExecuteAsync(new CommandDefinition(
                """
                insert into job_schedule (id, queue_id, name, cron, time_zone, catch_up, paused, job, created_at, updated_at, since)
                values (@id, @QueueId, @name, @Cron, @zone, @catchUp, @Paused, @job, @Now, @Now, @Now)
                on conflict (queue_id, name) do update set cron = excluded.cron, time_zone = excluded.time_zone, catch_up = excluded.catch_up,
                    paused = excluded.paused, job = excluded.job, version = job_schedule.version + 1, updated_at = excluded.updated_at, since = excluded.since
                """,
                new
                {
                    id = EntityId.New(time), QueueId = queue.Id, name, request.Cron, zone = request.TimeZone ?? "UTC", catchUp = request.CatchUp ?? "once",
                    request.Paused, job = JsonSerializer.Serialize(job, ApiJson.Default.NewJob), change.Now,
                },
                change.Transaction, cancellationToken: token));
            change.Record(queue.OrgId, before is null ? "schedule.created" : "schedule.updated", Target(queue, name), new JsonObject
            {
                ["cron"] = request.Cron, ["timeZone"] = request.TimeZone ?? "UTC", ["paused"] = request.Paused, ["type"] = job.Type,
            });
            return (await FindAsync(change.Connection, change.Transaction, queue, name, forUpdate: false, token))!;
        }, cancellationToken);
        ticker.Reload();
        http.Response.Headers.ETag = row.ETag;
        return TypedResults.Json(await ShownAsync(queue, row, cancellationToken), ApiJson.Default.JobSchedule);
    }

    private async Task<IResult> DeleteAsync(string org, string queueName, string name, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        await changes.CommitAsync(http.GetCaller().Origin(http), async (change, token) =>
        {
            var row = await FindAsync(change.Connection, change.Transaction, queue, name, forUpdate: true, token) ?? throw NotFound(queue, name);
            ETags.Check(http, row.ETag);
            await change.Connection.ExecuteAsync(new CommandDefinition("delete from job_schedule where id = @Id", new { row.Id }, change.Transaction, cancellationToken: token));
            change.Record(queue.OrgId, "schedule.deleted", Target(queue, name));
            return true;
        }, cancellationToken);
        ticker.Reload();
        return TypedResults.NoContent();
    }

    private async Task<JobSchedule> ShownAsync(OpenQueue queue, ScheduleRow row, CancellationToken cancellationToken)
    {
        var fired = await queue.Broker.LastFiredAsync(row.Name, cancellationToken);
        return new JobSchedule(
            row.Name, row.Cron, row.TimeZone, row.CatchUp, row.Paused, row.NewJob,
            row.Paused ? null : CronExpression.Parse(row.Cron, row.TimeZone).NextAfter(time.GetUtcNow()), fired, row.CreatedAt, row.UpdatedAt);
    }

    private static Task<ScheduleRow?> FindAsync(NpgsqlConnection connection, NpgsqlTransaction? transaction, OpenQueue queue, string name, bool forUpdate, CancellationToken cancellationToken) =>
        connection.QuerySingleOrDefaultAsync<ScheduleRow>(new CommandDefinition(
            $"{ScheduleRow.Select} where s.queue_id = @Id and s.name = @name{(forUpdate ? " for update" : "")}", new { queue.Id, name }, transaction, cancellationToken: cancellationToken));

    private static ApiException NotFound(OpenQueue queue, string name) => ApiException.NotFound($"schedule {name} in {queue.Org}/{queue.Name}");

    private static EventTarget Target(OpenQueue queue, string name) => new("schedule", EntityId.Show("queue", queue.Id) + "/" + name, $"{queue.Org}/{queue.Name}/{name}");
}

internal sealed class ScheduleRow
{
    public const string Select =
        """
        select s.id, s.queue_id as QueueId, s.name, s.cron, s.time_zone as TimeZone, s.catch_up as CatchUp, s.paused, s.job, s.version, s.since,
            s.created_at as CreatedAt, s.updated_at as UpdatedAt
        from job_schedule s
        """;

    public Guid Id { get; init; }
    public Guid QueueId { get; init; }
    public string Name { get; init; } = "";
    public string Cron { get; init; } = "";
    public string TimeZone { get; init; } = "";
    public string CatchUp { get; init; } = "";
    public bool Paused { get; init; }
    public string Job { get; init; } = "";
    public long Version { get; init; }
    public DateTime Since { get; init; }
    public DateTime CreatedAt { get; init; }
    public DateTime UpdatedAt { get; init; }

    public string ETag => ETags.Of(Id, Version);

    public NewJob NewJob => JsonSerializer.Deserialize(Job, ApiJson.Default.NewJob)!;
}
