using System.Text.Json;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Slipway.Queue;

/// <summary>Settings of one <see cref="WorkQueue"/>. What all processes must agree on is in <see cref="QueueSettings"/>.</summary>
public sealed record WorkQueueOptions
{
    /// <summary>Which queue, where <see cref="WorkQueue.ConnectAsync"/> opens it.</summary>
    public string Queue { get; init; } = "default";

    /// <summary>How the broker is opened, where <see cref="WorkQueue.ConnectAsync"/> opens it.</summary>
    public BrokerOptions Broker { get; init; } = new();

    /// <summary>
    /// Jobs at work at once in this process. 0: what the handlers' own <see cref="HandlerOptions.Concurrency"/> add up to, plus
    /// <c>max(10, 2 × processors)</c> for those that name none.
    /// </summary>
    public int Concurrency { get; init; }

    /// <summary>
    /// A worker that is not heard of for so long has lost its jobs. Renewed at a third of it. 10 s: a long garbage collection and
    /// a restart of Redis fit in, and a dead worker's jobs start again soon.
    /// </summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Runs that take longer are cancelled and count as failed, unless job or handler say otherwise. 30 min.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(30);

    /// <summary>How long a handler may go on after it was cancelled. Then its job is ended without it, and its place is filled. 30 s.</summary>
    public TimeSpan CancelGrace { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>At a stop: how long running jobs may take to finish, before they are cancelled. 20 s: what follows fits into the 30 s that supervisors give.</summary>
    public TimeSpan StopGrace { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>At a stop: how long cancelled handlers may take to return. 5 s.</summary>
    public TimeSpan StopCancelGrace { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// A job that is done is told to the broker at most so much later while its block still runs: what a killed worker did in this
    /// time is done again. 5 ms.
    /// </summary>
    public TimeSpan AckWindow { get; init; } = TimeSpan.FromMilliseconds(5);

    /// <summary>Unstarted jobs this process may hold. 1000: a block's limit.</summary>
    public int MaxPrefetch { get; init; } = 1000;

    /// <summary>What happens to a job of a type that nobody here handles.</summary>
    public UnknownJobs UnknownJobs { get; init; } = UnknownJobs.Dead;

    /// <summary>
    /// Retries above this share of the completed jobs (and above <see cref="RetryFloorPerSecond"/>) are postponed to the policy's longest
    /// pause: when everything fails, trying again must not be most of the load. 0.2.
    /// </summary>
    public double RetryShare { get; init; } = 0.2;

    /// <summary>Retries per second that are always within the budget. 10.</summary>
    public double RetryFloorPerSecond { get; init; } = 10;

    /// <summary>What an enqueue does while the queue is at its bound.</summary>
    public WhenFull WhenFull { get; init; } = WhenFull.Wait;

    /// <summary>How long an enqueue waits for room at most, before it throws <see cref="QueueFullException"/>. 30 s.</summary>
    public TimeSpan FullWait { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Single enqueues gathered while others are on their way; one more waits. 10,000 of 80 bytes are about 4 MB.</summary>
    public int MaxGathered { get; init; } = 10_000;

    /// <summary>For arguments and results. Give one with a source-generated resolver for trimmed programs.</summary>
    public JsonSerializerOptions Json { get; init; } = JsonSerializerOptions.Web;

    /// <summary>Job types that appear by name in metrics, besides those with a handler here and those of typed enqueues; all others are hashed into 16 buckets.</summary>
    public IReadOnlyList<string> MetricTypes { get; init; } = [];

    /// <summary>Refreshes the gauges of the queue's depth every 2 s; of one process per queue is enough.</summary>
    public bool DepthGauges { get; init; }

    /// <summary>Default: the broker's clock source. Deadlines of leases and delays are the server's anyway.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    public ILoggerFactory Logging { get; init; } = NullLoggerFactory.Instance;
}

/// <summary>What an enqueue does while the queue is at its bound.</summary>
public enum WhenFull
{
    /// <summary>Waits for room, up to <see cref="WorkQueueOptions.FullWait"/>.</summary>
    Wait,

    /// <summary>Throws <see cref="QueueFullException"/> at once.</summary>
    Reject,

    /// <summary>Drops the job and counts it: for jobs that are worth less than their producer's time. Its outcome has an empty id.</summary>
    Shed,
}

/// <summary>What happens to a job of a type that nobody here handles.</summary>
public enum UnknownJobs
{
    /// <summary>A dead letter with the reason <c>no-handler</c>.</summary>
    Dead,

    /// <summary>Back to the queue for 1–5 s: another worker may know it, as during a rolling update. Counts as an attempt.</summary>
    Leave,
}
