using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Slipway.Data;
using Slipway.Queue.V1;

namespace Slipway.NixCache;

/// <summary>The Nix cache's own queue, from the side of those who ask for work.</summary>
internal sealed class NixJobs(WorkQueues queues) : IAsyncDisposable
{
    /// <summary>
    /// A lease is lost when the server is killed, hardly ever because of the job: its own failures are counted as attempts. So
    /// a job survives more kills than the queue's default of 5 before it counts as poison.
    /// </summary>
    private const int MaxLostLeases = 10;

    public WorkQueue Queue { get; } = queues.Open("nix", new WorkQueueOptions { MaxLostLeases = MaxLostLeases });

    /// <summary>The archive's id is the job's: asking again for one that waits or runs changes nothing.</summary>
    public Task<EnqueueOutcome> EnqueueArchiveAsync(Guid archive, CancellationToken cancellationToken) =>
        Queue.EnqueueAsync(new JobDraft(EntityId.Show("arc", archive), ArchiveJob.Type, archive.ToByteArray()), cancellationToken);

    public Task<EnqueueOutcome> EnqueueResignAsync(Guid cache, CancellationToken cancellationToken) =>
        Queue.EnqueueAsync(new JobDraft(EntityId.Show("resign", Guid.NewGuid()), ResignJob.Type, cache.ToByteArray()), cancellationToken);

    public ValueTask DisposeAsync() => Queue.DisposeAsync();
}

/// <summary>The side of those who do it: which job type is run by what.</summary>
internal sealed class NixWorker(
    NixJobs jobs, ArchiveJob archives, ResignJob resigning, NixCacheOptions options, TimeProvider time, ILogger<QueueWorker> logger) : IHostedService, IAsyncDisposable
{
    private readonly QueueWorker worker = new(
        jobs.Queue,
        new Dictionary<string, Func<Job, CancellationToken, Task>>
        {
            [ArchiveJob.Type] = (job, cancellationToken) => archives.RunAsync(new Guid(job.Payload.Span), cancellationToken),
            [ResignJob.Type] = (job, cancellationToken) => resigning.RunAsync(new Guid(job.Payload.Span), cancellationToken),
        },
        new QueueWorkerOptions { Concurrency = options.ArchiveWorkers },
        time,
        logger);

    public Task StartAsync(CancellationToken cancellationToken) => worker.StartAsync(cancellationToken);

    public Task StopAsync(CancellationToken cancellationToken) => worker.StopAsync(cancellationToken);

    public ValueTask DisposeAsync() => worker.DisposeAsync();
}
