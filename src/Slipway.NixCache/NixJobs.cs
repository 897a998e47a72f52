using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Slipway.Queue;

namespace Slipway.NixCache;

/// <summary>The Nix cache's own queue: archives to take apart, caches to sign anew.</summary>
internal sealed class NixJobs : IHostedService, IAsyncDisposable
{
    /// <summary>
    /// A lease is lost when the server is killed, hardly ever because of the job: its own failures are counted as attempts. So
    /// a job survives more kills than the queue's default of 3 before it counts as poison.
    /// </summary>
    private const int MaxLostLeases = 10;

    private readonly RedisBroker broker;
    private readonly WorkQueue queue;

    public NixJobs(WorkQueues queues, ArchiveJob archives, ResignJob resigning, NixCacheOptions options, TimeProvider time, ILoggerFactory loggers)
    {
        broker = queues.Open("nix", new QueueSettings { MaxJobs = 100_000, MaxLostLeases = MaxLostLeases });
        queue = new WorkQueue(broker, new WorkQueueOptions
        {
            Concurrency = options.ArchiveWorkers,
            // A push of many gigabytes on a slow disk.
            Timeout = TimeSpan.FromHours(1),
            Time = time,
            Logging = loggers,
        });
        queue.Handle(ArchiveJob.Type, (job, _, cancellationToken) => archives.RunAsync(new Guid(job.Payload.Span), cancellationToken));
        queue.Handle(ResignJob.Type, (job, _, cancellationToken) => resigning.RunAsync(new Guid(job.Payload.Span), cancellationToken));
    }

    /// <summary>The archive's id is the job's: asking again for one that waits or runs changes nothing.</summary>
    public async Task EnqueueArchiveAsync(Guid archive, CancellationToken cancellationToken) =>
        await queue.EnqueueAsync(
            new JobDraft { Id = archive, Type = ArchiveJob.Type, Payload = archive.ToByteArray(), UniqueKey = archive.ToString("N"), Track = true },
            cancellationToken: cancellationToken);

    /// <summary>Every attempt failed; the dead letter keeps the reason.</summary>
    public async Task<bool> IsArchiveDeadAsync(Guid archive, CancellationToken cancellationToken) =>
        await broker.FindAsync(archive, cancellationToken) is { State: JobState.Dead };

    public async Task EnqueueResignAsync(Guid cache, CancellationToken cancellationToken) =>
        await queue.EnqueueAsync(new JobDraft { Type = ResignJob.Type, Payload = cache.ToByteArray() }, cancellationToken: cancellationToken);

    public TimeSpan SinceProgress => queue.SinceProgress;

    public Task StartAsync(CancellationToken cancellationToken) => queue.StartAsync(cancellationToken);

    public Task StopAsync(CancellationToken cancellationToken) => queue.StopAsync(cancellationToken);

    public async ValueTask DisposeAsync()
    {
        await queue.DisposeAsync();
        await broker.DisposeAsync();
    }
}
