using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Hosting;
using Slipway.Api;
using Slipway.Jobs.Queues;
using Slipway.Jobs.Watching;
using Slipway.Queue;
using Slipway.Tenancy;

namespace Slipway.Jobs.Working;

/// <summary>Jobs out: leases, held open while there is nothing to lease.</summary>
/// <remarks>
/// A client that leaves while it waits gets nothing leased; one that leaves before the answer is written gives its jobs back at once. From
/// the first byte of the answer on the jobs are its own: it may have closed the connection because it has what it wanted.
/// </remarks>
internal sealed class LeaseEndpoints(QueueDirectory queues, RecentAnswers answers, JobMetrics metrics, Authenticator authenticator, IHostApplicationLifetime lifetime, TimeProvider time)
{
    private const string Tag = "Jobs";
    public const int MostJobs = 1000;
    public const int MostBlocks = 100;
    public const long LongestLeaseMs = 3_600_000;
    public const long ShortestLeaseMs = 1_000;

    /// <summary>Below the 60 s after which proxies cut a silent request.</summary>
    public const long LongestWaitMs = 30_000;

    private const int MostQueues = 20;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapPost(Routes.Lease, (string org, string queue, LeaseEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.LeaseAsync(org, queue, http, cancellationToken))
            .RequirePermission(JobPermissions.Work, "queue").WithName("leaseJobs").WithTags(Tag).WithSummary("Lease jobs of a queue, waiting for some if there are none.").Takes(typeof(LeaseRequest)).Produces<LeasedBlocks>();
        // Which queues is in the body, so the decision on each comes after it; who is not in the org is refused before.
        endpoints.MapPost(Routes.OrgLease, (string org, LeaseEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.LeaseManyAsync(org, http, cancellationToken))
            .RequireSignIn().WithName("leaseJobsOfQueues").WithTags(Tag).WithSummary("Lease jobs of several queues of an org, the first named first. Needs jobs:work on each.").Takes(typeof(LeaseQueuesRequest)).Produces<LeasedBlocks>();
        endpoints.MapGet(Routes.Wake, (string org, string queue, string? after, long? waitMs, LeaseEndpoints e, HttpContext http, CancellationToken cancellationToken) => e.WakeAsync(org, queue, after, waitMs ?? 0, http, cancellationToken))
            .RequirePermission(JobPermissions.Work, "queue").WithName("waitForWake").WithTags(Tag).WithSummary("Wait until something may have become ready.").Produces<QueueWake>();
    }

    private async Task<IResult> LeaseAsync(string org, string queueName, HttpContext http, CancellationToken cancellationToken)
    {
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.LeaseRequest, cancellationToken);
        Check(faults, request.Max, 0, request.LeaseMs, request.WaitMs, request.Worker);
        var finished = ReadFinished(request.Finished, faults);
        faults.ThrowIfAny();
        var lease = TimeSpan.FromMilliseconds(request.LeaseMs);
        var answer = await answers.RunAsync(http, JsonSerializer.SerializeToUtf8Bytes(request, ApiJson.Default.LeaseRequest), async token =>
        {
            var late = await SettleFinishedAsync(queue, finished, token);
            IReadOnlyList<string> close = finished.Count == 0 ? [] : [.. finished.Where(block => block.Settles.Length == 0).Select(block => block.Id)];
            NoteFinished(queue, finished);
            using var end = CancellationTokenSource.CreateLinkedTokenSource(token, lifetime.ApplicationStopping);
            FetchResult result;
            try
            {
                queue.Workers.Seen(request.Worker);
                result = await queue.Line.LeaseAsync(new FetchRequest(request.Max, lease, close, Worker(request.Worker)), TimeSpan.FromMilliseconds(request.WaitMs), end.Token);
                await DecideAgainAsync(http, org, [(queue, result.Blocks)], request.WaitMs, token);
            }
            catch (OperationCanceledException) when (!token.IsCancellationRequested)
            {
                // Stopping: the client asks again, and reaches another server or the next one.
                return LeaseAnswer.Write([], time.GetUtcNow(), late.Select(block => block.ToString()), null, more: true, queue.Cancelled, request.Raw);
            }

            Note(queue, result.Blocks);
            var lateIds = finished.Where(block => late.Contains(block) || result.Late.Contains(block.Id)).Select(block => block.ToString());
            return LeaseAnswer.Write([.. result.Blocks.Select(block => (queue.Name, block))], result.ServerTime, lateIds, result.Next, result.More, queue.Cancelled, request.Raw);
        }, cancellationToken);
        return TypedResults.Bytes(answer, "application/json");
    }

    private async Task<IResult> LeaseManyAsync(string org, HttpContext http, CancellationToken cancellationToken)
    {
        var caller = http.GetCaller();
        if (caller.OrgId(org) is null)
        {
            throw caller.Decide(JobPermissions.Work, org, null).ToException();
        }

        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.LeaseQueuesRequest, cancellationToken);
        Check(faults, request.Max, 1, request.LeaseMs, request.WaitMs, request.Worker);
        faults.Require(request.Queues.Count is >= 1 and <= MostQueues && request.Queues.Distinct(StringComparer.Ordinal).Count() == request.Queues.Count, "/queues", $"must name 1 to {MostQueues} different queues");
        faults.ThrowIfAny();
        var opened = new List<OpenQueue>();
        foreach (var name in request.Queues)
        {
            var decision = caller.Decide(JobPermissions.Work, org, name);
            opened.Add(decision.IsAllowed ? await queues.FindAsync(http, org, name, cancellationToken) : throw decision.ToException());
        }

        var answer = await answers.RunAsync(http, JsonSerializer.SerializeToUtf8Bytes(request, ApiJson.Default.LeaseQueuesRequest), async token =>
        {
            using var end = CancellationTokenSource.CreateLinkedTokenSource(token, lifetime.ApplicationStopping);
            foreach (var queue in opened)
            {
                queue.Workers.Seen(request.Worker);
            }

            var found = await FirstOfAsync(opened, request, end.Token);
            token.ThrowIfCancellationRequested();
            if (found.Result is { } got)
            {
                await DecideAgainAsync(http, org, [(found.Queue!, got.Blocks)], request.WaitMs, token);
                Note(found.Queue!, got.Blocks);
            }

            var blocks = found.Result is null ? [] : found.Result.Blocks.Select(block => (found.Queue!.Name, block)).ToList();
            return LeaseAnswer.Write(blocks, found.Result?.ServerTime ?? time.GetUtcNow(), [], null, found.Result is not null || end.IsCancellationRequested, [.. opened.SelectMany(queue => queue.Cancelled)], request.Raw);
        }, cancellationToken);
        return TypedResults.Bytes(answer, "application/json");
    }

    private async Task<(OpenQueue? Queue, FetchResult? Result)> FirstOfAsync(IReadOnlyList<OpenQueue> opened, LeaseQueuesRequest request, CancellationToken end)
    {
        var started = time.GetTimestamp();
        var wait = TimeSpan.FromMilliseconds(request.WaitMs);
        while (!end.IsCancellationRequested)
        {
            var wakes = opened.Select(queue => queue.Broker.NextWake).ToArray();
            TimeSpan? next = null;
            foreach (var queue in opened)
            {
                try
                {
                    var result = await queue.Line.LeaseAsync(new FetchRequest(request.Max, TimeSpan.FromMilliseconds(request.LeaseMs), [], Worker(request.Worker)), TimeSpan.Zero, end);
                    if (result.Blocks.Count > 0)
                    {
                        return (queue, result);
                    }

                    next = result.Next is { } due && !(next < due) ? due : next;
                }
                catch (OperationCanceledException)
                {
                    return default;
                }
            }

            var left = wait - time.GetElapsedTime(started);
            if (left <= TimeSpan.Zero)
            {
                return default;
            }

            // A second at most: a wake-up may get lost with its connection.
            var sleep = new[] { left, next ?? left, TimeSpan.FromSeconds(1) }.Min();
            using var awake = CancellationTokenSource.CreateLinkedTokenSource(end);
            await Task.WhenAny([.. wakes, Task.Delay(sleep, time, awake.Token)]);
            await awake.CancelAsync();
        }

        return default;
    }

    private async Task<IResult> WakeAsync(string org, string queueName, string? after, long waitMs, HttpContext http, CancellationToken cancellationToken)
    {
        var faults = new Faults();
        faults.Require(waitMs is >= 0 and <= LongestWaitMs, "?waitMs", $"must be 0 to {LongestWaitMs}");
        faults.ThrowIfAny();
        var queue = await queues.FindAsync(http, org, queueName, cancellationToken);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, lifetime.ApplicationStopping);
        await queue.Wakes.WaitAsync(after, TimeSpan.FromMilliseconds(waitMs), end.Token);
        cancellationToken.ThrowIfCancellationRequested();
        return TypedResults.Json(new QueueWake(queue.Wakes.Seen, queue.Cancelled), ApiJson.Default.QueueWake);
    }

    /// <summary>After a wait the right to work may be gone: then the jobs go back.</summary>
    private async Task DecideAgainAsync(HttpContext http, string org, IReadOnlyList<(OpenQueue Queue, IReadOnlyList<JobBlock> Blocks)> leased, long waitedMs, CancellationToken cancellationToken)
    {
        if (waitedMs == 0 || leased.All(one => one.Blocks.Count == 0))
        {
            return;
        }

        foreach (var (queue, blocks) in leased)
        {
            var decision = await authenticator.DecideAgainAsync(http.GetCaller(), JobPermissions.Work, org, queue.Name, CancellationToken.None);
            if (!decision.IsAllowed || cancellationToken.IsCancellationRequested)
            {
                foreach (var block in blocks)
                {
                    await queue.Broker.SettleAsync(block.Id, [.. block.Jobs.Select((_, index) => new JobEnd(index, JobEndKind.Released))], CancellationToken.None);
                }

                cancellationToken.ThrowIfCancellationRequested();
                throw decision.ToException();
            }
        }
    }

    /// <summary>Closes blocks whose jobs' ends need more than closing. The late ones are returned.</summary>
    private static async Task<HashSet<WireBlock>> SettleFinishedAsync(OpenQueue queue, IReadOnlyList<WireBlock> finished, CancellationToken cancellationToken)
    {
        var late = new HashSet<WireBlock>();
        foreach (var block in finished.Where(block => block.Settles.Length > 0))
        {
            if (!await BlockEndpoints.EndAsync(queue, block, Enumerable.Range(0, block.Size), [], cancellationToken))
            {
                late.Add(block);
            }
        }

        return late;
    }

    private static void NoteFinished(OpenQueue queue, IReadOnlyList<WireBlock> finished)
    {
        foreach (var block in finished.Where(block => block.Settles.Length == 0))
        {
            for (var index = 0; index < block.Size; index++)
            {
                queue.Tallies.Ended(block.Id, index, JobEndKind.Completed, "");
            }

            queue.Tallies.Closed(block.Id);
        }
    }

    private void Note(OpenQueue queue, IReadOnlyList<JobBlock> blocks)
    {
        metrics.Leased(queue, blocks);
        foreach (var block in blocks)
        {
            queue.Tallies.Leased(block);
        }
    }

    private static void Check(Faults faults, int max, int least, long leaseMs, long waitMs, string? worker)
    {
        faults.Require(max >= least && max <= MostJobs, "/max", $"must be {least} to {MostJobs}");
        faults.Require(leaseMs is >= ShortestLeaseMs and <= LongestLeaseMs, "/leaseMs", $"must be {ShortestLeaseMs} to {LongestLeaseMs}; extend the lease of longer work while it runs");
        faults.Require(waitMs is >= 0 and <= LongestWaitMs, "/waitMs", $"must be 0 to {LongestWaitMs}");
        faults.Require(worker is null || JobText.IsWorker(worker), "/worker", JobText.WorkerRule);
    }

    private static IReadOnlyList<WireBlock> ReadFinished(IReadOnlyList<string>? finished, Faults faults)
    {
        if (finished is null)
        {
            return [];
        }

        faults.Require(finished.Count <= MostBlocks, "/finished", $"must name at most {MostBlocks} blocks");
        return BlockEndpoints.ReadBlocks(finished, "/finished", faults);
    }

    /// <summary>Apart from the server's own: whose block it is can be read in its id.</summary>
    private static string Worker(string? name) => "http:" + (name ?? "unnamed");
}
