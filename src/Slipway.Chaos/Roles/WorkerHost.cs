using Microsoft.Extensions.Logging;
using Slipway.Chaos.Accounting;
using Slipway.Queue;
using Slipway.Resp;

namespace Slipway.Chaos.Roles;

/// <summary>A worker of the library as any program has it, whose handlers keep a record of every run.</summary>
internal sealed class WorkerHost : IAsyncDisposable
{
    /// <summary>The job type of everything that is accounted for.</summary>
    public const string JobType = "chaos";

    /// <summary>4 million runs: more than any scenario has in one process. Sparse.</summary>
    private const int MostRuns = 4_000_000;

    private readonly IRespClient redis;
    private readonly RecordFile<RunRecord> log;

    private WorkerHost(IRespClient redis, RedisBroker broker, WorkQueue queue, RecordFile<RunRecord> log)
    {
        this.redis = redis;
        this.log = log;
        Broker = broker;
        Queue = queue;
    }

    public RedisBroker Broker { get; }

    public WorkQueue Queue { get; }

    public static RecordFile<RunRecord> CreateLog(string path) => RecordFile<RunRecord>.Create(path, MostRuns);

    /// <param name="more">Further handlers and schedules.</param>
    public static async Task<WorkerHost> StartAsync(
        WorkerSettings settings, TimeProvider time, ILoggerFactory logging, Action<WorkQueue>? more, CancellationToken cancellationToken)
    {
        IRespClient redis = await RespClient.ConnectAsync(
            new RespOptions { Url = settings.Url, CommandTimeout = Milliseconds(settings.CommandTimeoutMilliseconds) }, logging.CreateLogger("Slipway.Resp"), cancellationToken);
        RedisBroker broker = await RedisBroker.OpenAsync(redis, settings.Queue, new BrokerOptions { Time = time }, cancellationToken);
        RecordFile<RunRecord> log = RecordFile<RunRecord>.Open(settings.Log);
        var queue = new WorkQueue(broker, new WorkQueueOptions
        {
            Queue = settings.Queue,
            Concurrency = settings.Concurrency,
            Lease = Milliseconds(settings.LeaseMilliseconds),
            StopGrace = Milliseconds(settings.StopGraceMilliseconds),
            CancelGrace = Milliseconds(settings.CancelGraceMilliseconds),
            Timeout = Milliseconds(settings.TimeoutMilliseconds),
            // A job that fails is meant to come again at once: how the budget slows retries down has its own tests.
            RetryFloorPerSecond = 1_000_000,
            Time = time,
            Logging = logging,
        });
        var host = new WorkerHost(redis, broker, queue, log);
        queue.Handle(JobType, host.RunAsync, options => options.Retries(
            settings.Attempts - 1, Milliseconds(settings.RetryMilliseconds), Milliseconds(settings.RetryMilliseconds)));
        more?.Invoke(queue);
        await queue.StartAsync(cancellationToken);
        log.IsReady = true;
        return host;
    }

    /// <summary>Stops as the library does, then closes everything.</summary>
    public async ValueTask DisposeAsync()
    {
        await Queue.DisposeAsync();
        await Broker.DisposeAsync();
        await redis.DisposeAsync();
        log.Dispose();
    }

    /// <summary>The handler of all accounted jobs, also under other type names.</summary>
    public Task RunAsync(Job job, JobContext context, CancellationToken cancellationToken)
    {
        JobWork work = JobWork.Read(job.Payload.Span);
        ref RunRecord record = ref log.Append();
        record.Id = work.Id;
        record.Token = context.Token;
        record.Attempt = job.Attempt;
        record.Start = Moments.Now;
        RunRecords.Publish(ref record, RunOutcome.Started);
        if (work.Kind is WorkKind.Nothing)
        {
            RunRecords.End(ref record, RunOutcome.Succeeded);
            return Task.CompletedTask;
        }

        return Deeds.DoAsync(work, RunPlace.Of(ref record), cancellationToken);
    }

    private static TimeSpan Milliseconds(int milliseconds) => TimeSpan.FromMilliseconds(milliseconds);
}
