using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Slipway.Api;
using Slipway.Data;
using Dapper;
using Slipway.Jobs.Queues;
using Slipway.Jobs.Working;
using Slipway.Queue;
using Slipway.Resp;
using Slipway.Tenancy;

namespace Slipway.Jobs.Watching;

/// <summary>What dashboards show: numbers of now, rates of the last hour, jobs that wait, workers, all queues at a glance.</summary>
internal sealed class StatsEndpoints(Database database, QueueDirectory queues, QueueStream stream, JobsOptions options)
{
    private const string Tag = "Work queues";
    private const int MostPeeked = 1000;
    private const int MostErrors = 20;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.JobsOverview, (string org, StatsEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.OverviewAsync(org, http, cancellationToken))
            .RequirePermission(JobPermissions.Read).WithName("showJobsOverview").WithTags(Tag).WithSummary("Show all work queues of an org at a glance.").Produces<JobsOverview>();
        endpoints.MapGet(Routes.QueueStats, (string org, string queue, StatsEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.StatsAsync(org, queue, http, cancellationToken))
            .RequirePermission(JobPermissions.Read, "queue").WithName("showQueueStats").WithTags(Tag).WithSummary("Show a queue's numbers: depths, ages, totals, types, workers.").Produces<JobQueueStats>();
        endpoints.MapGet(Routes.QueueHistory, (string org, string queue, int? minutes, StatsEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.HistoryAsync(org, queue, minutes ?? 60, http, cancellationToken))
            .RequirePermission(JobPermissions.Read, "queue").WithName("showQueueHistory").WithTags(Tag).WithSummary("Show rates per minute by job type, and the most frequent errors, of up to an hour.").Produces<JobQueueHistory>();
        endpoints.MapGet(Routes.QueueLive, (string org, string queue, StatsEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.LiveAsync(org, queue, http, cancellationToken))
            .RequirePermission(JobPermissions.Read, "queue").WithName("watchQueue").WithTags(Tag).WithSummary("Follow a queue's numbers, each second.").Produces<JobQueueLive>(StatusCodes.Status200OK, "text/event-stream");
        endpoints.MapGet(Routes.PeekQueue, (string org, string queue, string? place, int? count, StatsEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.PeekAsync(org, queue, place ?? "ready", count ?? 10, http, cancellationToken))
            .RequirePermission(JobPermissions.Peek, "queue").WithName("peekQueue").WithTags(Tag).WithSummary("Look at jobs that wait, the next one first.").Produces<QueuedJobs>();
        endpoints.MapGet(Routes.QueueWorkers, (string org, string queue, StatsEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.WorkersAsync(org, queue, http, cancellationToken))
            .RequirePermission(JobPermissions.Read, "queue").WithName("listQueueWorkers").WithTags(Tag).WithSummary("List a queue's workers.").Produces<Page<JobWorker>>();
        endpoints.MapPut(Routes.QueueWorker, (string org, string queue, string worker, StatsEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ReportAsync(org, queue, worker, http, cancellationToken))
            .RequirePermission(JobPermissions.Work, "queue").WithName("reportWorker").WithTags(Tag).WithSummary("Give a worker's sign of life.").Takes(typeof(JobWorkerReport)).Produces<JobWorker>();
    }

    private async Task<IResult> OverviewAsync(string org, HttpContext http, CancellationToken cancellationToken)
    {
        List<QueueRow> rows;
        await using (var connection = await database.OpenAsync(cancellationToken))
        {
            rows = (await connection.QueryAsync<QueueRow>(new CommandDefinition(
                $"{QueueRow.Select} where q.org_id = @orgId order by q.name", new { orgId = http.GetCaller().OrgId(org) }, cancellationToken: cancellationToken))).AsList();
        }

        // A hundred at most, side by side on one connection.
        var shown = await Task.WhenAll(rows.Select(async row =>
        {
            try
            {
                var queue = await queues.OpenAsync(row, cancellationToken);
                var stats = await queue.Watch.RecentAsync(cancellationToken);
                return new JobQueueOverview(
                    row.Name, stats.ReadyTotal, stats.Delayed, stats.Leased, stats.Dead, Milliseconds(stats.OldestReady), stats.Workers.Count, stats.PausedWhy, stats.Totals);
            }
            catch (RespException)
            {
                return new JobQueueOverview(row.Name, null, null, null, null, null, null, null, null);
            }
        }));
        var quota = new JobQuota(rows.Count, options.MaxQueues, options.MaxJobs, rows.Sum(row => row.Settings.MaxBytes), options.MaxBytes);
        return TypedResults.Json(new JobsOverview(shown, quota), ApiJson.Default.JobsOverview);
    }

    private async Task<IResult> StatsAsync(string org, string queueName, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        return TypedResults.Json(Shown(queue.Name, await queue.Broker.StatsAsync(cancellationToken)), ApiJson.Default.JobQueueStats);
    }

    private async Task<IResult> HistoryAsync(string org, string queueName, int minutes, HttpContext http, CancellationToken cancellationToken)
    {
        var faults = new Faults();
        faults.Require(minutes is >= 1 and <= 60, "?minutes", "must be 1 to 60");
        faults.ThrowIfAny();
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var counts = await queue.Broker.HistoryAsync(minutes, cancellationToken);
        var errors = counts.SelectMany(minute => minute.Counts.Errors.Select(error => (minute.Type, Reason: error.Key, Count: error.Value)))
            .GroupBy(error => (error.Type, error.Reason))
            .Select(group => new JobErrorCount(group.Key.Type, group.Key.Reason, group.Sum(error => error.Count)))
            .OrderByDescending(error => error.Count).ThenBy(error => error.Reason, StringComparer.Ordinal).Take(MostErrors);
        return TypedResults.Json(
            new JobQueueHistory(
                [.. counts.Select(minute => new JobMinute(minute.Minute, minute.Type, minute.Counts.Completed, minute.Counts.Failed, Milliseconds(minute.Counts.Busy), Milliseconds(minute.Counts.Waited)))],
                [.. errors]),
            ApiJson.Default.JobQueueHistory);
    }

    private async Task<IResult> LiveAsync(string org, string queueName, HttpContext http, CancellationToken cancellationToken)
    {
        await stream.WriteAsync(http, org, await queues.FindAsync(http, org, queueName, cancellationToken), cancellationToken);
        return TypedResults.Empty;
    }

    private async Task<IResult> PeekAsync(string org, string queueName, string place, int count, HttpContext http, CancellationToken cancellationToken)
    {
        var faults = new Faults();
        faults.Require(count is >= 1 and <= MostPeeked, "?count", $"must be 1 to {MostPeeked}");
        var held = place.StartsWith("held:", StringComparison.Ordinal);
        faults.Require(place is "ready" or "delayed" || (held && JobText.IsType(place[5..])), "?place", "must be ready, delayed, or held: and a job type with limits");
        faults.ThrowIfAny();
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        IReadOnlyList<PeekedJob> jobs;
        try
        {
            jobs = await queue.Broker.PeekAsync(held ? place[5..] : place, count, cancellationToken);
        }
        catch (ArgumentException)
        {
            // A type without limits holds nothing back.
            jobs = [];
        }

        return TypedResults.Json(new QueuedJobs([.. jobs.Select(Shown)]), ApiJson.Default.QueuedJobs);
    }

    private async Task<IResult> WorkersAsync(string org, string queueName, HttpContext http, CancellationToken cancellationToken)
    {
        var page = PageToken.Read(http);
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var workers = Workers(await queue.Broker.StatsAsync(cancellationToken)).OrderBy(worker => worker.Name, StringComparer.Ordinal)
            .Where(worker => string.CompareOrdinal(worker.Name, page.After ?? "") > 0).Take(page.Size + 1).ToList();
        return TypedResults.Ok(PageToken.Cut(http, page, workers, worker => worker.Name));
    }

    private async Task<IResult> ReportAsync(string org, string queueName, string worker, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.JobWorkerReport, cancellationToken);
        faults.Require(JobText.IsWorker(worker), "/worker", JobText.WorkerRule);
        faults.Require(request.About.Length <= 500 && !request.About.Any(char.IsControl), "/about", "must have at most 500 characters, none of them control characters");
        faults.ThrowIfAny();
        var about = request.About.Length == 0 ? "over HTTP" : request.About;
        await queue.Broker.ReportAsync(new WorkerReport(about, new Dictionary<string, TypeCounts>(), "http:" + worker), cancellationToken);
        return TypedResults.Json(new JobWorker(worker, (await queue.Broker.FetchAsync(new FetchRequest(0, TimeSpan.FromSeconds(1), []), cancellationToken)).ServerTime, about), ApiJson.Default.JobWorker);
    }

    public static JobQueueStats Shown(string queue, QueueStats stats) => new(
        queue,
        stats.Ready,
        stats.ReadyTotal,
        stats.Held,
        stats.Delayed,
        stats.Leased,
        stats.Waiting,
        stats.Dead,
        stats.Bytes,
        Milliseconds(stats.OldestReady),
        stats.Totals,
        stats.DeadReasons,
        [.. stats.Types.Select(type => new JobTypeStats(type.Type, SettingsMapping.Shown(type.Limits), type.Held, type.Running, type.Breaker))],
        Workers(stats),
        stats.PausedWhy,
        stats.ServerTime);

    /// <summary>Under the names they gave: the mark of HTTP is ours.</summary>
    private static List<JobWorker> Workers(QueueStats stats) =>
        [.. stats.Workers.Select(worker => new JobWorker(worker.Id.StartsWith("http:", StringComparison.Ordinal) ? worker.Id[5..] : worker.Id, worker.Seen, worker.About))];

    private static QueuedJob Shown(PeekedJob peeked)
    {
        var job = peeked.Job;
        var (json, bytes) = LeaseAnswer.Split(job.Payload);
        return new QueuedJob(job.Id, job.Type, peeked.Where, (int)job.Priority, job.Attempt, job.EnqueuedAt, peeked.Due, job.UniqueKey, json, bytes);
    }

    private static long Milliseconds(TimeSpan span) => (long)span.TotalMilliseconds;
}
