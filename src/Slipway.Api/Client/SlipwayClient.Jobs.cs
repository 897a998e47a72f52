using System.Globalization;
using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Slipway.Api.Client;

/// <content>Work queues: jobs, leases, batches, schedules, dead letters. The protocol is in docs/protocols/jobs-http.md.</content>
public sealed partial class SlipwayClient
{
    /// <summary>What a held answer may take beyond the time it is held for.</summary>
    private static readonly TimeSpan HeldGrace = TimeSpan.FromSeconds(30);

    private const string NdJson = "application/x-ndjson";

    public IAsyncEnumerable<JobQueue> ListQueuesAsync(string org, CancellationToken cancellationToken) =>
        ListAsync(RouteTemplate.Fill(Routes.JobQueues, org), null, Json.PageJobQueue, cancellationToken);

    public Task<JobQueue> CreateQueueAsync(string org, CreateQueueRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.JobQueues, org), request, ApiJson.Default.CreateQueueRequest, Json.JobQueue, cancellationToken);

    public Task<Tagged<JobQueue>> GetQueueAsync(string org, string queue, CancellationToken cancellationToken) =>
        GetTaggedAsync(RouteTemplate.Fill(Routes.JobQueue, org, queue), Json.JobQueue, cancellationToken);

    public Task<JobQueue> UpdateQueueAsync(string org, string queue, UpdateQueueRequest request, string? etag, CancellationToken cancellationToken) =>
        PatchAsync(RouteTemplate.Fill(Routes.JobQueue, org, queue), request, ApiJson.Default.UpdateQueueRequest, etag, Json.JobQueue, cancellationToken);

    /// <param name="force">Also while it has workers or jobs.</param>
    public Task DeleteQueueAsync(string org, string queue, bool force, string? etag, CancellationToken cancellationToken) =>
        DeleteAsync(RouteTemplate.Fill(Routes.JobQueue, org, queue) + (force ? "?force=true" : ""), etag, cancellationToken);

    /// <param name="type">This job type only; null: the queue.</param>
    public Task<JobQueue> PauseQueueAsync(string org, string queue, string? type, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.PauseQueue, org, queue), new PauseQueueRequest(type), ApiJson.Default.PauseQueueRequest, Json.JobQueue, cancellationToken);

    /// <param name="type">This job type only; null: the queue.</param>
    public Task<JobQueue> ResumeQueueAsync(string org, string queue, string? type, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.ResumeQueue, org, queue), new PauseQueueRequest(type), ApiJson.Default.PauseQueueRequest, Json.JobQueue, cancellationToken);

    /// <summary>All queues of the org at a glance.</summary>
    public Task<JobsOverview> GetJobsOverviewAsync(string org, CancellationToken cancellationToken) =>
        GetAsync(RouteTemplate.Fill(Routes.JobsOverview, org), Json.JobsOverview, cancellationToken);

    public Task<JobQueueStats> GetQueueStatsAsync(string org, string queue, CancellationToken cancellationToken) =>
        GetAsync(RouteTemplate.Fill(Routes.QueueStats, org, queue), Json.JobQueueStats, cancellationToken);

    /// <param name="minutes">1–60.</param>
    public Task<JobQueueHistory> GetQueueHistoryAsync(string org, string queue, int minutes, CancellationToken cancellationToken) =>
        GetAsync(
            RouteTemplate.Fill(Routes.QueueHistory, org, queue) + string.Create(CultureInfo.InvariantCulture, $"?minutes={minutes}"), Json.JobQueueHistory, cancellationToken);

    /// <summary>The queue's state each second or two. Ends when the server drains or the connection breaks; open it again then.</summary>
    public async IAsyncEnumerable<JobQueueLive> WatchQueueAsync(string org, string queue, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, RouteTemplate.Fill(Routes.QueueLive, org, queue));
        request.Headers.TryAddWithoutValidation("Accept", "text/event-stream");
        using var response = await SendOnceAsync(request, cancellationToken);
        await using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
        var parser = SseParser.Create(body, static (kind, data) => kind == "stats" ? JsonSerializer.Deserialize(data, Json.JobQueueLive) : null);
        await foreach (var item in parser.EnumerateAsync(cancellationToken))
        {
            if (item.Data is { } live)
            {
                yield return live;
            }
        }
    }

    /// <summary>Jobs that wait, next one first.</summary>
    /// <param name="place"><c>ready</c>, <c>delayed</c>, or <c>held:TYPE</c>.</param>
    /// <param name="count">1–1,000.</param>
    public Task<QueuedJobs> PeekQueueAsync(string org, string queue, string place, int count, CancellationToken cancellationToken) =>
        GetAsync(
            RouteTemplate.Fill(Routes.PeekQueue, org, queue) + string.Create(CultureInfo.InvariantCulture, $"?place={Uri.EscapeDataString(place)}&count={count}"),
            Json.QueuedJobs,
            cancellationToken);

    /// <param name="durability">What the enqueue must survive: <c>server</c>, <c>memory</c>, <c>aof</c>, <c>fsync</c>, <c>replicated</c>; null: <c>server</c>.</param>
    public Task<EnqueuedJob> EnqueueJobAsync(string org, string queue, NewJob job, string? durability, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.Jobs, org, queue) + Durability(durability), job, ApiJson.Default.NewJob, Json.EnqueuedJob, cancellationToken);

    /// <summary>
    /// The same, numbered by the producer: a number that was used before adds nothing (a problem 422 when a later one was used, or the job is
    /// another). Producers of one principal are told apart by name.
    /// </summary>
    /// <param name="producer">1–200 printable ASCII characters.</param>
    /// <param name="sequence">From 1, growing.</param>
    public Task<EnqueuedJob> EnqueueJobAsync(
        string org, string queue, NewJob job, string producer, long sequence, string? durability, CancellationToken cancellationToken) =>
        SendAsync(
            new Call(HttpMethod.Post, RouteTemplate.Fill(Routes.Jobs, org, queue) + Durability(durability))
            {
                Body = JsonSerializer.SerializeToUtf8Bytes(job, ApiJson.Default.NewJob),
                Headers = [(ProducerHeader, producer), (SequenceHeader, sequence.ToString(CultureInfo.InvariantCulture))],
            },
            (response, token) => ReadAsync(response, Json.EnqueuedJob, token),
            cancellationToken);

    /// <summary>Up to 1,000 jobs, all or none.</summary>
    public Task<EnqueuedJobs> EnqueueJobsAsync(string org, string queue, BulkJobsRequest request, string? durability, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.BulkJobs, org, queue) + Durability(durability), request, ApiJson.Default.BulkJobsRequest, Json.EnqueuedJobs, cancellationToken);

    /// <summary>Up to 10,000 jobs as one JSON object a line, in blocks of 1,000: what the answer names was added.</summary>
    public Task<EnqueuedJobs> EnqueueLinesAsync(string org, string queue, ReadOnlyMemory<byte> lines, string? durability, CancellationToken cancellationToken) =>
        SendAsync(
            new Call(HttpMethod.Post, RouteTemplate.Fill(Routes.BulkJobs, org, queue) + Durability(durability))
            {
                Body = lines.ToArray(), ContentType = NdJson, IdempotencyKey = NewIdempotencyKey(),
            },
            (response, token) => ReadAsync(response, Json.EnqueuedJobs, token),
            cancellationToken);

    /// <summary>What is known of a tracked job; a problem 404 when nothing is (any more).</summary>
    public Task<TrackedJob> GetJobAsync(string org, string queue, Guid job, CancellationToken cancellationToken) =>
        GetAsync(RouteTemplate.Fill(Routes.Job, org, queue, job.ToString()), Json.TrackedJob, cancellationToken);

    /// <summary>Says how far a tracked job is, and learns whether it shall be cancelled.</summary>
    public Task<TrackedJob> ReportProgressAsync(string org, string queue, Guid job, JobProgressRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.JobProgress, org, queue, job.ToString()), request, ApiJson.Default.JobProgressRequest, Json.TrackedJob, cancellationToken);

    /// <summary>Cancels a tracked job: waiting ones never start, running ones are told. A problem 409 when it is at its end.</summary>
    public Task<TrackedJob> CancelJobAsync(string org, string queue, Guid job, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.CancelJob, org, queue, job.ToString()), Json.TrackedJob, cancellationToken);

    public Task<LeasedBlocks> LeaseAsync(string org, string queue, LeaseRequest request, CancellationToken cancellationToken) =>
        SendAsync(
            new Call(HttpMethod.Post, RouteTemplate.Fill(Routes.Lease, org, queue))
            {
                Body = JsonSerializer.SerializeToUtf8Bytes(request, ApiJson.Default.LeaseRequest),
                IdempotencyKey = NewIdempotencyKey(),
                Timeout = TimeSpan.FromMilliseconds(request.WaitMs) + HeldGrace,
            },
            (response, token) => ReadAsync(response, Json.LeasedBlocks, token),
            cancellationToken);

    public Task<LeasedBlocks> LeaseAsync(string org, LeaseQueuesRequest request, CancellationToken cancellationToken) =>
        SendAsync(
            new Call(HttpMethod.Post, RouteTemplate.Fill(Routes.OrgLease, org))
            {
                Body = JsonSerializer.SerializeToUtf8Bytes(request, ApiJson.Default.LeaseQueuesRequest),
                IdempotencyKey = NewIdempotencyKey(),
                Timeout = TimeSpan.FromMilliseconds(request.WaitMs) + HeldGrace,
            },
            (response, token) => ReadAsync(response, Json.LeasedBlocks, token),
            cancellationToken);

    /// <summary>Answers when something may have become ready since the call that answered <paramref name="after"/>, at the latest after <paramref name="wait"/>.</summary>
    /// <param name="after">Null: answers at once, with where things stand.</param>
    public Task<QueueWake> WaitForWakeAsync(string org, string queue, string? after, TimeSpan wait, CancellationToken cancellationToken) =>
        SendAsync(
            new Call(
                HttpMethod.Get,
                RouteTemplate.Fill(Routes.Wake, org, queue)
                    + string.Create(CultureInfo.InvariantCulture, $"?waitMs={(long)wait.TotalMilliseconds}")
                    + (after is null ? "" : "&after=" + Uri.EscapeDataString(after)))
            {
                Timeout = wait + HeldGrace,
            },
            (response, token) => ReadAsync(response, Json.QueueWake, token),
            cancellationToken);

    public Task<BlockState> AckBlockAsync(string org, string queue, string block, AckBlockRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.AckBlock, org, queue, block), request, ApiJson.Default.AckBlockRequest, Json.BlockState, cancellationToken);

    public Task<BlockStates> AckBlocksAsync(string org, string queue, AckBlocksRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.AckBlocks, org, queue), request, ApiJson.Default.AckBlocksRequest, Json.BlockStates, cancellationToken);

    public Task<BlockStates> ExtendBlockAsync(string org, string queue, string block, ExtendBlockRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.ExtendBlock, org, queue, block), request, ApiJson.Default.ExtendBlockRequest, Json.BlockStates, cancellationToken);

    public Task<BlockStates> ExtendBlocksAsync(string org, string queue, ExtendBlocksRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.ExtendBlocks, org, queue), request, ApiJson.Default.ExtendBlocksRequest, Json.BlockStates, cancellationToken);

    public IAsyncEnumerable<JobWorker> ListQueueWorkersAsync(string org, string queue, CancellationToken cancellationToken) =>
        ListAsync(RouteTemplate.Fill(Routes.QueueWorkers, org, queue), null, Json.PageJobWorker, cancellationToken);

    /// <summary>A sign of life; every 10 s.</summary>
    public Task<JobWorker> ReportWorkerAsync(string org, string queue, string worker, JobWorkerReport report, CancellationToken cancellationToken) =>
        PutAsync(RouteTemplate.Fill(Routes.QueueWorker, org, queue, worker), report, ApiJson.Default.JobWorkerReport, Json.JobWorker, cancellationToken);

    public Task<JobBatch> OpenBatchAsync(string org, string queue, OpenBatchRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.Batches, org, queue), request, ApiJson.Default.OpenBatchRequest, Json.JobBatch, cancellationToken);

    public Task<JobBatch> GetBatchAsync(string org, string queue, Guid batch, CancellationToken cancellationToken) =>
        GetAsync(RouteTemplate.Fill(Routes.Batch, org, queue, batch.ToString()), Json.JobBatch, cancellationToken);

    public Task<JobBatch> CloseBatchAsync(string org, string queue, Guid batch, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.CloseBatch, org, queue, batch.ToString()), Json.JobBatch, cancellationToken);

    public IAsyncEnumerable<JobSchedule> ListSchedulesAsync(string org, string queue, CancellationToken cancellationToken) =>
        ListAsync(RouteTemplate.Fill(Routes.Schedules, org, queue), null, Json.PageJobSchedule, cancellationToken);

    public Task<Tagged<JobSchedule>> GetScheduleAsync(string org, string queue, string schedule, CancellationToken cancellationToken) =>
        GetTaggedAsync(RouteTemplate.Fill(Routes.Schedule, org, queue, schedule), Json.JobSchedule, cancellationToken);

    /// <summary>Makes a schedule, or replaces the one of that name.</summary>
    public Task<JobSchedule> SetScheduleAsync(string org, string queue, string schedule, SetScheduleRequest request, CancellationToken cancellationToken) =>
        PutAsync(RouteTemplate.Fill(Routes.Schedule, org, queue, schedule), request, ApiJson.Default.SetScheduleRequest, Json.JobSchedule, cancellationToken);

    public Task DeleteScheduleAsync(string org, string queue, string schedule, string? etag, CancellationToken cancellationToken) =>
        DeleteAsync(RouteTemplate.Fill(Routes.Schedule, org, queue, schedule), etag, cancellationToken);

    /// <summary>Dead letters, the latest first; null: of any reason, of any type.</summary>
    public IAsyncEnumerable<DeadJob> ListDeadLettersAsync(string org, string queue, string? reason, string? type, CancellationToken cancellationToken)
    {
        List<string> filter = [];
        if (reason is not null)
        {
            filter.Add("reason=" + Uri.EscapeDataString(reason));
        }

        if (type is not null)
        {
            filter.Add("type=" + Uri.EscapeDataString(type));
        }

        return ListAsync(RouteTemplate.Fill(Routes.DeadLetters, org, queue), filter.Count == 0 ? null : string.Join('&', filter), Json.PageDeadJob, cancellationToken);
    }

    public Task<QueueOperation> RedriveAsync(string org, string queue, RedriveRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.RedriveDeadLetters, org, queue), request, ApiJson.Default.RedriveRequest, Json.QueueOperation, cancellationToken);

    public Task<QueueOperation> PurgeDeadLettersAsync(string org, string queue, PurgeDeadRequest request, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.PurgeDeadLetters, org, queue), request, ApiJson.Default.PurgeDeadRequest, Json.QueueOperation, cancellationToken);

    /// <summary>Where a redrive or purge stands; <paramref name="wait"/> (30 s at most) lets the server hold the answer until it is finished.</summary>
    public Task<QueueOperation> GetQueueOperationAsync(string org, string queue, string operation, TimeSpan wait, CancellationToken cancellationToken) =>
        GetAsync(
            RouteTemplate.Fill(Routes.QueueOperation, org, queue, operation)
                + (wait > TimeSpan.Zero ? string.Create(CultureInfo.InvariantCulture, $"?wait={(int)wait.TotalSeconds}") : ""),
            Json.QueueOperation,
            cancellationToken);

    public Task<QueueOperation> CancelQueueOperationAsync(string org, string queue, string operation, CancellationToken cancellationToken) =>
        PostAsync(RouteTemplate.Fill(Routes.CancelQueueOperation, org, queue, operation), Json.QueueOperation, cancellationToken);

    private static string Durability(string? durability) => durability is null ? "" : "?durability=" + Uri.EscapeDataString(durability);

    /// <summary>One try of a stream.</summary>
    private async Task<HttpResponseMessage> SendOnceAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        HttpResponseMessage response;
        try
        {
            response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException)
        {
            throw Unreachable(exception);
        }

        if (response.IsSuccessStatusCode)
        {
            return response;
        }

        using (response)
        {
            throw await ProblemOfAsync(response, cancellationToken);
        }
    }
}
