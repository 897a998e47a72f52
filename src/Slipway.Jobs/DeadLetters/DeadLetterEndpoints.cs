using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Slipway.Api;
using Slipway.Data;
using Slipway.Jobs.Queues;
using Slipway.Jobs.Working;
using Slipway.Queue;
using Slipway.Tenancy;

namespace Slipway.Jobs.DeadLetters;

/// <summary>Dead letters: list them, put them back to work, forget them. The last two go on in the background and can be watched.</summary>
internal sealed partial class DeadLetterEndpoints(Database database, QueueDirectory queues, OperationRunner runner, Changes changes, TimeProvider time)
{
    private const string Tag = "Dead letters";
    private const int MostIds = 1000;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(Routes.DeadLetters, (string org, string queue, string? reason, string? type, DeadLetterEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ListAsync(org, queue, reason, type, http, cancellationToken))
            .RequirePermission(JobPermissions.Peek, "queue").WithName("listDeadLetters").WithTags(Tag).WithSummary("List a queue's dead letters, the latest first.").Produces<Page<DeadJob>>();
        endpoints.MapPost(Routes.RedriveDeadLetters, (string org, string queue, DeadLetterEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.RedriveAsync(org, queue, http, cancellationToken))
            .RequirePermission(JobPermissions.Admin, "queue").WithName("redriveDeadLetters").WithTags(Tag).WithSummary("Put dead letters back to work, at a rate.").Takes(typeof(RedriveRequest)).Produces<QueueOperation>(StatusCodes.Status202Accepted);
        endpoints.MapPost(Routes.PurgeDeadLetters, (string org, string queue, DeadLetterEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.PurgeAsync(org, queue, http, cancellationToken))
            .RequirePermission(JobPermissions.Admin, "queue").WithName("purgeDeadLetters").WithTags(Tag).WithSummary("Forget dead letters for good.").Takes(typeof(PurgeDeadRequest)).Produces<QueueOperation>(StatusCodes.Status202Accepted);
        endpoints.MapGet(Routes.QueueOperation, (string org, string queue, string operation, int? wait, DeadLetterEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.ShowAsync(org, queue, operation, wait ?? 0, http, cancellationToken))
            .RequirePermission(JobPermissions.Read, "queue").WithName("showQueueOperation").WithTags(Tag).WithSummary("Show a redrive or purge; ?wait=30 holds the answer until it is finished.").Produces<QueueOperation>();
        endpoints.MapPost(Routes.CancelQueueOperation, (string org, string queue, string operation, DeadLetterEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.CancelAsync(org, queue, operation, http, cancellationToken))
            .RequirePermission(JobPermissions.Admin, "queue").WithName("cancelQueueOperation").WithTags(Tag).WithSummary("Stop a redrive or purge where it is.").Produces<QueueOperation>();
    }

    private async Task<IResult> ListAsync(string org, string queueName, string? reason, string? type, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var page = PageToken.Read(http);
        var letters = await queue.Broker.DeadLettersAsync(new DeadFilter(null, reason, type), page.After, page.Size + 1, cancellationToken);
        return TypedResults.Ok(PageToken.Cut(http, page, [.. letters.Select(Shown)], letter => letter.Id));
    }

    private async Task<IResult> RedriveAsync(string org, string queueName, HttpContext http, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.RedriveRequest, cancellationToken);
        CheckFilter(faults, request.Ids, request.Reason, request.Type);
        faults.Require(request.PerSecond is null or (>= 0.1 and <= 1_000_000), "/perSecond", "must be 0.1 to 1000000");
        faults.ThrowIfAny();
        return await StartAsync("redrive", org, queueName, request.Ids, request.Reason, request.Type, request.PerSecond, http, cancellationToken);
    }

    private async Task<IResult> PurgeAsync(string org, string queueName, HttpContext http, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.PurgeDeadRequest, cancellationToken);
        CheckFilter(faults, request.Ids, request.Reason, request.Type);
        faults.ThrowIfAny();
        return await StartAsync("purge", org, queueName, request.Ids, request.Reason, request.Type, null, http, cancellationToken);
    }

    private async Task<IResult> StartAsync(
        string kind, string org, string queueName, IReadOnlyList<string>? ids, string? reason, string? type, double? perSecond, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var started = await changes.CommitAsync(http, ApiJson.Default.QueueOperation, async (change, token) =>
        {
            // The row of the queue: one operation at a time, or two redrives would each keep their own rate.
            await change.Connection.ExecuteAsync(new CommandDefinition("select 1 from job_queue where id = @Id for no key update", new { queue.Id }, change.Transaction, cancellationToken: token));
            if (await change.Connection.ExecuteScalarAsync<bool>(new CommandDefinition(
                "select exists (select from job_operation where queue_id = @Id and state = 'running')", new { queue.Id }, change.Transaction, cancellationToken: token)))
            {
                throw ApiException.Conflict($"{org}/{queueName} has a redrive or purge under way.", "Wait for it, or cancel it.");
            }

            var id = EntityId.New(time);
            await change.Connection.ExecuteAsync(new CommandDefinition(
                """
                insert into job_operation (id, queue_id, kind, ids, reason, type, per_second, state, runner, seen_at, created_at)
                values (@id, @QueueId, @kind, @ids, @reason, @type, @perSecond, 'running', @Runner, @Now, @Now)
                """,
                new { id, QueueId = queue.Id, kind, ids = ids?.ToArray(), reason, type, perSecond, Runner = runner.Id, change.Now }, change.Transaction, cancellationToken: token));
            var details = new JsonObject { ["operation"] = EntityId.Show("op", id) };
            if (ids is not null)
            {
                details["ids"] = ids.Count;
            }

            if (reason is not null)
            {
                details["reason"] = reason;
            }

            if (type is not null)
            {
                details["type"] = type;
            }

            change.Record(queue.OrgId, kind == "redrive" ? "queue.redriven" : "queue.purged", new EventTarget("queue", EntityId.Show("queue", queue.Id), $"{org}/{queueName}"), details);
            return new QueueOperation(EntityId.Show("op", id), queueName, kind, "running", 0, reason, type, perSecond, null, change.Now, null);
        }, cancellationToken);
        runner.Look();
        http.Response.Headers.Location = $"/v1/orgs/{org}/queues/{queueName}/operations/{started.Id}";
        return TypedResults.Json(started, ApiJson.Default.QueueOperation, statusCode: StatusCodes.Status202Accepted);
    }

    private async Task<IResult> ShowAsync(string org, string queueName, string operation, int wait, HttpContext http, CancellationToken cancellationToken)
    {
        var faults = new Faults();
        faults.Require(wait is >= 0 and <= 30, "?wait", "must be 0 to 30 seconds");
        faults.ThrowIfAny();
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var started = time.GetTimestamp();
        while (true)
        {
            // Taken before looking, so that nothing is slept through.
            var progress = runner.Progressed;
            var row = await FindAsync(queue, operation, cancellationToken);
            var left = TimeSpan.FromSeconds(wait) - time.GetElapsedTime(started);
            if (row.State != "running" || left <= TimeSpan.Zero)
            {
                return TypedResults.Json(row.Shown(queue.Name), ApiJson.Default.QueueOperation);
            }

            // Another server may be the one that works on it: so look each second too.
            using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, runner.Stopping);
            await Task.WhenAny(progress, Task.Delay(left < TimeSpan.FromSeconds(1) ? left : TimeSpan.FromSeconds(1), time, over.Token));
            cancellationToken.ThrowIfCancellationRequested();
            if (runner.Stopping.IsCancellationRequested)
            {
                return TypedResults.Json(row.Shown(queue.Name), ApiJson.Default.QueueOperation);
            }

            await over.CancelAsync();
        }
    }

    private async Task<IResult> CancelAsync(string org, string queueName, string operation, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var row = await FindAsync(queue, operation, cancellationToken);
        await changes.CommitAsync(http.GetCaller().Origin(http), async (change, token) =>
        {
            var asked = await change.Connection.ExecuteAsync(new CommandDefinition(
                "update job_operation set cancel_requested = true where id = @Id and state = 'running' and not cancel_requested", new { row.Id }, change.Transaction, cancellationToken: token));
            if (asked > 0)
            {
                change.Record(queue.OrgId, "queue.operation_cancelled", new EventTarget("queue", EntityId.Show("queue", queue.Id), $"{org}/{queueName}"), new JsonObject { ["operation"] = operation });
            }

            return true;
        }, cancellationToken);
        runner.Cancel(row.Id);
        return TypedResults.Json((await FindAsync(queue, operation, cancellationToken)).Shown(queue.Name), ApiJson.Default.QueueOperation);
    }

    private async Task<OperationRow> FindAsync(OpenQueue queue, string operation, CancellationToken cancellationToken)
    {
        if (!EntityId.TryRead("op", operation, out var id))
        {
            throw ApiException.NotFound($"operation {operation} of {queue.Org}/{queue.Name}");
        }

        await using var connection = await database.OpenAsync(cancellationToken);
        return await connection.QuerySingleOrDefaultAsync<OperationRow>(new CommandDefinition(
            $"{OperationRow.Select} where id = @id and queue_id = @QueueId", new { id, QueueId = queue.Id }, cancellationToken: cancellationToken))
            ?? throw ApiException.NotFound($"operation {operation} of {queue.Org}/{queue.Name}");
    }

    private static void CheckFilter(Faults faults, IReadOnlyList<string>? ids, string? reason, string? type)
    {
        faults.Require(ids is null or { Count: >= 1 and <= MostIds }, "/ids", $"must name 1 to {MostIds} dead letters");
        foreach (var (index, id) in (ids ?? []).Index())
        {
            faults.Require(DeadId().IsMatch(id), $"/ids/{index}", "is not the id of a dead letter, such as 1767225600000-0");
        }

        faults.Require(reason is null or { Length: <= 100 }, "/reason", "must have at most 100 characters");
        faults.Require(type is null || JobText.IsType(type), "/type", JobText.TypeRule);
    }

    private static DeadJob Shown(DeadLetter letter)
    {
        var (json, bytes) = LeaseAnswer.Split(letter.Job.Payload);
        var job = letter.Job;
        return new DeadJob(letter.Id, job.Id, job.Type, (int)job.Priority, job.Attempt, job.LostLeases, letter.Reason, letter.Error, job.EnqueuedAt, letter.DiedAt, job.UniqueKey, json, bytes);
    }

    [GeneratedRegex("^[0-9]{1,20}-[0-9]{1,20}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex DeadId();
}

internal sealed class OperationRow
{
    public const string Select =
        """
        select id, queue_id as QueueId, kind, ids, reason, type, per_second as PerSecond, state, done, error, cancel_requested as CancelRequested,
            created_at as CreatedAt, finished_at as FinishedAt
        from job_operation
        """;

    public Guid Id { get; init; }
    public Guid QueueId { get; init; }
    public string Kind { get; init; } = "";
    public string[]? Ids { get; init; }
    public string? Reason { get; init; }
    public string? Type { get; init; }
    public double? PerSecond { get; init; }
    public string State { get; init; } = "";
    public long Done { get; init; }
    public string? Error { get; init; }
    public bool CancelRequested { get; init; }
    public DateTime CreatedAt { get; init; }
    public DateTime? FinishedAt { get; init; }

    public QueueOperation Shown(string queue) =>
        new(EntityId.Show("op", Id), queue, Kind, State, Done, Reason, Type, PerSecond, Error, CreatedAt, FinishedAt);
}
