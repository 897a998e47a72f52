using System.Diagnostics;
using Slipway.Api;
using Slipway.Api.Client;

namespace Slipway.Queue;

/// <summary>A queue on a Slipway server, for programs that reach it over HTTP only: needs a key with <c>jobs:enqueue</c>, <c>jobs:work</c> or both.</summary>
/// <remarks>
/// <code>
///   WorkQueue ─► HttpBroker ─► SlipwayClient ─HTTP─► server ─► RedisBroker
///                    └─ one request held open tells of wake-ups
/// </code>
/// What differs from Redis itself: expired blocks are put back by the server; a lease whose answer was lost is found again by the
/// client's repetition of it (the server remembers its answer for two minutes) and else when it expires, so there is nothing to recover;
/// how much of each job type was done is counted by the server; slots of schedules that passed while no program ran are not caught up
/// with, unless the schedule is the server's (<c>PUT …/schedules/NAME</c>). docs/protocols/jobs-http.md.
/// </remarks>
public sealed class HttpBroker : IQueueBroker
{
    /// <summary>The server's limit of one call.</summary>
    private const int MostBlocks = 100;

    private static readonly TimeSpan ShortestLease = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan WakeWait = TimeSpan.FromSeconds(25);

    private readonly SlipwayClient client;
    private readonly string org;
    private readonly TimeProvider time;
    private readonly WakeSignal wake = new();
    private readonly CancellationTokenSource disposed = new();
    private readonly HashSet<Guid> told = [];
    private readonly Lock gate = new();
    private Task? listening;

    /// <param name="client">Stays the caller's.</param>
    /// <param name="workerId">1–64 characters of <c>A-Za-z0-9._:-</c>; default: host, pid and a random part.</param>
    public HttpBroker(SlipwayClient client, string org, string queue, string? workerId = null, TimeProvider? time = null)
    {
        this.client = client;
        this.org = org;
        this.time = time ?? TimeProvider.System;
        Queue = queue;
        string host = new([.. Environment.MachineName.Where(c => char.IsAsciiLetterOrDigit(c) || c == '-').Take(32)]);
        WorkerId = workerId ?? $"{(host.Length == 0 ? "host" : host)}-{Environment.ProcessId}-{Random.Shared.Next(0x1000000):x6}";
    }

    public event Action<Guid>? CancelRequested;

    public string Queue { get; }

    public string WorkerId { get; }

    public Task NextWake
    {
        get
        {
            lock (gate)
            {
                listening ??= Task.Run(ListenAsync, CancellationToken.None);
            }

            return wake.Next;
        }
    }

    public async Task<IReadOnlyList<Enqueued>> EnqueueAsync(IReadOnlyList<JobDraft> jobs, Durability durability, CancellationToken cancellationToken)
    {
        if (jobs.Count == 0)
        {
            return [];
        }

        try
        {
            EnqueuedJobs answer = await client.EnqueueJobsAsync(org, Queue, new BulkJobsRequest([.. jobs.Select(OnWire)]), Name(durability), cancellationToken).ConfigureAwait(false);
            return [.. answer.Jobs.Select(job => new Enqueued(job.Id, Outcome(job.Outcome)))];
        }
        catch (SlipwayApiException refused) when (refused.Problem.Code == ProblemCodes.QueueFull)
        {
            throw Full(refused);
        }
    }

    public async Task<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken)
    {
        var late = new List<string>();
        IReadOnlyList<string> finished = request.Finished;
        for (; finished.Count > MostBlocks; finished = [.. finished.Skip(MostBlocks)])
        {
            LeasedBlocks closed = await LeaseAsync(request with { Max = 0 }, [.. finished.Take(MostBlocks)], cancellationToken).ConfigureAwait(false);
            late.AddRange(closed.Late);
        }

        LeasedBlocks leased = await LeaseAsync(request, finished, cancellationToken).ConfigureAwait(false);
        late.AddRange(leased.Late);
        TellCancelled(leased.Cancelled);
        return new FetchResult(
            [.. leased.Blocks.Select(Block)], late, leased.ServerTime, leased.NextMs is { } next ? TimeSpan.FromMilliseconds(next) : null, [], leased.More);
    }

    public async Task<IReadOnlyList<bool>> AckAsync(IReadOnlyList<BlockAck> acks, CancellationToken cancellationToken)
    {
        var kept = new List<bool>(acks.Count);
        foreach (BlockAck[] some in acks.Chunk(MostBlocks))
        {
            var request = new AckBlocksRequest([.. some.Select(ack => new AckedBlock(ack.Block, Indexes(ack.Done.Span)))]);
            BlockStates states = await client.AckBlocksAsync(org, Queue, request, cancellationToken).ConfigureAwait(false);
            TellCancelled(states.Cancelled);
            kept.AddRange(states.Blocks.Select(block => block.State != "late"));
        }

        return kept;
    }

    public async Task<bool> SettleAsync(string block, IReadOnlyList<JobEnd> ends, CancellationToken cancellationToken)
    {
        var ended = ends.Select(end => new EndedJob(
            end.Index,
            end.Kind.ToString().ToLowerInvariant(),
            end.Kind == JobEndKind.Retry ? (long)Math.Ceiling(end.RetryAfter.TotalMilliseconds) : null,
            end.Reason.Length > 100 ? end.Reason[..99] + "…" : end.Reason,
            end.Error.Length > 2000 ? end.Error[..1999] + "…" : end.Error,
            null,
            end.Result.IsEmpty ? null : end.Result.ToArray()));
        BlockState state = await client.AckBlockAsync(org, Queue, block, new AckBlockRequest(null, [.. ended]), cancellationToken).ConfigureAwait(false);
        return state.State != "late";
    }

    public async Task<IReadOnlyList<bool>> ExtendAsync(IReadOnlyList<string> blocks, TimeSpan lease, CancellationToken cancellationToken)
    {
        var kept = new List<bool>(blocks.Count);
        foreach (string[] some in blocks.Chunk(MostBlocks))
        {
            BlockStates states = await client.ExtendBlocksAsync(org, Queue, new ExtendBlocksRequest(some, Milliseconds(lease)), cancellationToken).ConfigureAwait(false);
            TellCancelled(states.Cancelled);
            kept.AddRange(states.Blocks.Select(block => block.State != "late"));
        }

        return kept;
    }

    /// <summary>Nothing: the server does it.</summary>
    public Task<BlockReap> ReapAsync(IReadOnlyList<string> expired, CancellationToken cancellationToken) => Task.FromResult(new BlockReap(0, 0));

    /// <summary>None: see the remarks of this type.</summary>
    public Task<IReadOnlyList<JobBlock>> RecoverAsync(IReadOnlyList<string> known, CancellationToken cancellationToken) =>
        Task.FromResult<IReadOnlyList<JobBlock>>([]);

    public Task ReportAsync(WorkerReport report, CancellationToken cancellationToken) => report.About.Length == 0
        ? Task.CompletedTask
        : client.ReportWorkerAsync(
            org, Queue, report.Worker ?? WorkerId, new JobWorkerReport(report.About.Length > 500 ? report.About[..499] + "…" : report.About), cancellationToken);

    public async Task<bool> ProgressAsync(Guid id, double progress, string note, CancellationToken cancellationToken)
    {
        TrackedJob? job = await KnownAsync(
            client.ReportProgressAsync(org, Queue, id, new JobProgressRequest(Math.Clamp(progress, 0, 100), note.Length > 500 ? note[..499] + "…" : note), cancellationToken)).ConfigureAwait(false);
        if (job is { CancelRequested: true })
        {
            TellCancelled([id]);
        }

        return job is not null;
    }

    public async Task<JobStatus?> FindAsync(Guid id, CancellationToken cancellationToken) =>
        await KnownAsync(client.GetJobAsync(org, Queue, id, cancellationToken)).ConfigureAwait(false) is { } job
            ? new JobStatus(
                job.Id, job.Type, Enum.Parse<JobState>(job.State, ignoreCase: true), job.Attempt, job.Progress, job.Note,
                job.ResultBytes ?? (job.Result is { } json ? System.Text.Encoding.UTF8.GetBytes(json.GetRawText()) : []), job.Error, job.UpdatedAt, job.CancelRequested)
            : null;

    public async Task<bool> CancelAsync(Guid id, CancellationToken cancellationToken)
    {
        try
        {
            await client.CancelJobAsync(org, Queue, id, cancellationToken).ConfigureAwait(false);
            return true;
        }
        catch (SlipwayApiException refused) when (refused.Problem.Status is 404 or 409)
        {
            return false;
        }
    }

    public async Task<Guid> OpenBatchAsync(JobDraft callback, Guid? parent, CancellationToken cancellationToken) =>
        (await client.OpenBatchAsync(org, Queue, new OpenBatchRequest(OnWire(callback with { Batch = null }), parent), cancellationToken).ConfigureAwait(false)).Id;

    public async Task<BatchStatus?> CloseBatchAsync(Guid batch, CancellationToken cancellationToken) =>
        Batch(await KnownAsync(client.CloseBatchAsync(org, Queue, batch, cancellationToken)).ConfigureAwait(false));

    public async Task<BatchStatus?> FindBatchAsync(Guid batch, CancellationToken cancellationToken) =>
        Batch(await KnownAsync(client.GetBatchAsync(org, Queue, batch, cancellationToken)).ConfigureAwait(false));

    /// <summary>By the slot as the number of a producer named after the schedule: the programs of one principal fire each slot once together.</summary>
    public async Task<bool> FireAsync(string schedule, DateTimeOffset slot, JobDraft job, CancellationToken cancellationToken)
    {
        try
        {
            // Without the trace of whoever fires: those who fire one slot must say the same.
            await client.EnqueueJobAsync(org, Queue, OnWire(job) with { TraceParent = job.TraceParent }, "cron:" + schedule, slot.ToUnixTimeMilliseconds(), null, cancellationToken).ConfigureAwait(false);
            return true;
        }
        catch (SlipwayApiException refused) when (refused.Problem.Code == ProblemCodes.IdempotencyKeyReused)
        {
            return false;
        }
        catch (SlipwayApiException refused) when (refused.Problem.Code == ProblemCodes.QueueFull)
        {
            throw Full(refused);
        }
    }

    /// <summary>Not known over HTTP: a schedule begins when the program does.</summary>
    public Task<DateTimeOffset?> LastFiredAsync(string schedule, CancellationToken cancellationToken) => Task.FromResult<DateTimeOffset?>(null);

    public async ValueTask DisposeAsync()
    {
        await disposed.CancelAsync().ConfigureAwait(false);
        if (listening is { } loop)
        {
            await loop.ConfigureAwait(false);
        }
    }

    private Task<LeasedBlocks> LeaseAsync(FetchRequest request, IReadOnlyList<string> finished, CancellationToken cancellationToken) => client.LeaseAsync(
        org, Queue, new LeaseRequest(request.Max, Milliseconds(request.Lease), 0, request.Worker ?? WorkerId, finished, Raw: true), cancellationToken);

    /// <summary>Asks to be told of wake-ups, again and again. After a failure one may have been missed.</summary>
    private async Task ListenAsync()
    {
        string? seen = null;
        while (!disposed.IsCancellationRequested)
        {
            try
            {
                QueueWake answer = await client.WaitForWakeAsync(org, Queue, seen, WakeWait, disposed.Token).ConfigureAwait(false);
                TellCancelled(answer.Cancelled);
                if (answer.Seen != seen)
                {
                    seen = answer.Seen;
                    wake.Pulse();
                }
            }
            catch (Exception failure) when (failure is SlipwayApiException or SlipwayUnreachableException)
            {
                seen = null;
                wake.Pulse();
                await Task.Delay(RetryDelay.Next(3, null), time, disposed.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    /// <summary>The server names whom it knows again and again; each is told once.</summary>
    private void TellCancelled(IReadOnlyList<Guid> ids)
    {
        foreach (Guid id in ids)
        {
            bool fresh;
            lock (gate)
            {
                // The server names a thousand at most: after ten thousand the first are long forgotten there.
                if (told.Count > 10_000)
                {
                    told.Clear();
                }

                fresh = told.Add(id);
            }

            if (fresh)
            {
                CancelRequested?.Invoke(id);
            }
        }
    }

    private QueueFullException Full(SlipwayApiException refused)
    {
        string detail = refused.Problem.Detail ?? refused.Problem.Title;
        string bound = detail.Contains("maxBytes", StringComparison.Ordinal) ? "bytes" : detail.Contains("maxAge", StringComparison.Ordinal) ? "age" : "depth";
        return new QueueFullException(Queue, bound, detail);
    }

    /// <summary>The server does not know it (any more): null.</summary>
    private static async Task<T?> KnownAsync<T>(Task<T> call)
        where T : class
    {
        try
        {
            return await call.ConfigureAwait(false);
        }
        catch (SlipwayApiException refused) when (refused.Problem.Status == 404)
        {
            return null;
        }
    }

    private static NewJob OnWire(JobDraft job) => new(
        job.Type,
        null,
        job.Payload.IsEmpty ? null : job.Payload.ToArray(),
        job.Id,
        (int)job.Priority,
        job.Delay > TimeSpan.Zero ? (long)Math.Ceiling(job.Delay.TotalMilliseconds) : null,
        job.At,
        job.UniqueKey,
        job.UniqueFor > TimeSpan.Zero ? (long)Math.Ceiling(job.UniqueFor.TotalMilliseconds) : null,
        job.Cost,
        job.MaxAttempts == 0 ? null : job.MaxAttempts,
        job.Timeout > TimeSpan.Zero ? (long)Math.Ceiling(job.Timeout.TotalMilliseconds) : null,
        job.Track ? true : null,
        job.Batch,
        job.After.Count == 0 ? null : job.After,
        job.TraceParent ?? (Activity.Current is { IdFormat: ActivityIdFormat.W3C } current ? current.Id : null));

    private static JobBlock Block(LeasedBlock block) => new(block.Id, block.Token, block.LeasedAt, block.Deadline, [.. block.Jobs.Select(Job)]);

    private static Job Job(LeasedJob job) => new()
    {
        Id = job.Id,
        Type = job.Type,
        Payload = job.PayloadBytes ?? [],
        Priority = (JobPriority)job.Priority,
        Attempt = job.Attempt,
        LostLeases = job.LostLeases,
        EnqueuedAt = job.EnqueuedAt,
        MaxAttempts = job.MaxAttempts,
        Timeout = TimeSpan.FromMilliseconds(job.TimeoutMs),
        UniqueKey = job.Unique,
        Batch = job.Batch,
        Tracked = job.Tracked,
        Cost = (byte)job.Cost,
        CancelRequested = job.CancelRequested,
        TraceParent = job.TraceParent ?? "",
        // The server knows from the block's id which of its jobs need more than a bit, and sees to it.
        NeedsSettling = false,
        Damage = job.Damage,
    };

    private static BatchStatus? Batch(JobBatch? batch) =>
        batch is null ? null : new BatchStatus(batch.Id, batch.Total, batch.Pending, batch.Failed, batch.Open, batch.CalledBack);

    private static List<int> Indexes(ReadOnlySpan<byte> bits)
    {
        var indexes = new List<int>();
        for (int i = 0; i < bits.Length * 8; i++)
        {
            if ((bits[i / 8] & (1 << (i % 8))) != 0)
            {
                indexes.Add(i);
            }
        }

        return indexes;
    }

    private static EnqueueOutcome Outcome(string outcome) => outcome switch
    {
        "added" => EnqueueOutcome.Added,
        "duplicate" => EnqueueOutcome.Duplicate,
        "batchClosed" => EnqueueOutcome.BatchClosed,
        _ => EnqueueOutcome.DependencyFailed,
    };

    private static string? Name(Durability durability) => durability == Durability.Server ? null : durability.ToString().ToLowerInvariant();

    private static long Milliseconds(TimeSpan lease) => (long)Math.Ceiling((lease < ShortestLease ? ShortestLease : lease).TotalMilliseconds);
}
