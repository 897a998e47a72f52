using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Slipway.Queue.Work;
using Slipway.Resp;

namespace Slipway.Queue;

/// <summary>
/// One queue, for programs: enqueue jobs, handle them, run schedules. Any number of processes may do any of these on the same queue.
/// </summary>
/// <remarks>
/// <code>
///   await using var q = await WorkQueue.ConnectAsync("localhost:6379");
///   q.Handle&lt;SendEmail&gt;(async (job, ct) => await mailer.SendAsync(job.Args, ct));
///   await q.EnqueueAsync(new SendEmail("a@b.c"));
///   await q.RunAsync(stoppingToken);
/// </code>
/// Delivery is at least once: a handler may see a job again, and sees then a higher <see cref="Job{T}.Token"/>. After the kill of a
/// process, done jobs run again that ended in its last <see cref="WorkQueueOptions.AckWindow"/> or were on their way to the server.
/// </remarks>
public sealed partial class WorkQueue : IAsyncDisposable
{
    private readonly Lock gate = new();
    private readonly List<Handler> handlers = [];
    private readonly List<Schedule> schedules = [];
    private readonly IRespClient? owned;
    private readonly WorkQueueOptions options;
    private readonly Producer producer;
    private readonly QueueMetrics metrics;
    private CancellationTokenSource? running;
    private Task[] tasks = [];
    private Worker? worker;

    /// <param name="broker">Whose it stays: disposing the queue leaves it open.</param>
    public WorkQueue(IQueueBroker broker, WorkQueueOptions? options = null)
        : this(broker, options ?? new WorkQueueOptions(), owned: null)
    {
    }

    private WorkQueue(IQueueBroker broker, WorkQueueOptions options, IRespClient? owned)
    {
        Broker = broker;
        this.options = options;
        this.owned = owned;
        metrics = new QueueMetrics(broker.Queue, options.MetricTypes);
        producer = new Producer(broker, options, metrics);
    }

    /// <summary>Connects to a Redis and opens a queue of it, which belongs to what is returned.</summary>
    /// <param name="server"><c>host:port</c>, or a URL as <see cref="RespOptions.Url"/> has them.</param>
    /// <param name="configure"><c>o => o with { Queue = "mail" }</c></param>
    /// <exception cref="FormatException">The address is malformed.</exception>
    /// <exception cref="RespConnectionException">Nobody answers there.</exception>
    public static async Task<WorkQueue> ConnectAsync(
        string server, Func<WorkQueueOptions, WorkQueueOptions>? configure = null, CancellationToken cancellationToken = default)
    {
        WorkQueueOptions options = new();
        options = configure?.Invoke(options) ?? options;
        string url = server.Contains("://", StringComparison.Ordinal) ? server : "redis://" + server;
        IRespClient redis = await RespClient.ConnectAsync(
            new RespOptions { Url = url, ClientName = "slipway-queue", Time = options.Time }, options.Logging.CreateLogger("Slipway.Resp"), cancellationToken).ConfigureAwait(false);
        try
        {
            IQueueBroker broker = await RedisBroker.OpenAsync(redis, options.Queue, options.Broker with { Time = options.Time }, cancellationToken).ConfigureAwait(false);
            return new WorkQueue(broker, options, redis);
        }
        catch
        {
            await redis.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>What the queue is built on; as <see cref="IQueueAdmin"/>, where it is one, for what people do.</summary>
    public IQueueBroker Broker { get; }

    /// <summary>
    /// Since the worker's fetch loop last had an answer: below about 2 s in a healthy process, however busy or idle. Ready means that this is
    /// small, not that a process exists. Zero: it runs no worker.
    /// </summary>
    public TimeSpan SinceProgress => worker?.SinceProgress ?? TimeSpan.Zero;

    /// <summary>Handles jobs whose type is the name of <typeparamref name="T"/> (or its <see cref="JobTypeAttribute"/>), with JSON arguments.</summary>
    /// <remarks>Arguments that cannot be read make a dead letter (<c>bad-args</c>). Handlers are added before the start.</remarks>
    public WorkQueue Handle<T>(Func<Job<T>, CancellationToken, Task> handler, Action<HandlerOptions>? configure = null)
    {
        JsonTypeInfo<T> json = Json<T>();
        return Handle(
            JobNames<T>.Value,
            (job, context, cancellationToken) =>
            {
                T args;
                try
                {
                    args = JsonSerializer.Deserialize(job.Payload.Span, json)!;
                }
                catch (JsonException e)
                {
                    return Task.FromException(new PermanentJobException($"The arguments are no {typeof(T).Name}: {e.Message}", e) { Reason = "bad-args" });
                }

                return handler(new Job<T>(this, args, context), cancellationToken);
            },
            configure);
    }

    /// <summary>Handles jobs of a type, with whatever bytes they carry.</summary>
    public WorkQueue Handle(string type, Func<Job, JobContext, CancellationToken, Task> handler, Action<HandlerOptions>? configure = null) =>
        Add(JobNames.Checked(type), handler, configure);

    /// <summary>Handles jobs of every type that has no handler of its own.</summary>
    public WorkQueue HandleAny(Func<Job, JobContext, CancellationToken, Task> handler, Action<HandlerOptions>? configure = null) =>
        Add(Handler.Any, handler, configure);

    /// <summary>Enqueues a job at every time that fits a cron expression, by the server's clock, once over all processes that run this schedule.</summary>
    /// <param name="name">Names the schedule over all processes; its last firing is kept under this name.</param>
    /// <param name="expression"><c>minute hour day-of-month month day-of-week</c>, seconds optionally before; <c>@daily</c> and the like.</param>
    /// <param name="catchUp">What happens to times that passed while no process was there. Default: none of them.</param>
    /// <param name="timeZone">Of the IANA database: <c>Europe/Berlin</c>. Default: UTC.</param>
    /// <remarks>
    /// When clocks change: of a schedule with given hours, a local time that is skipped fires once, at the end of the gap; one that comes twice
    /// fires the first time only. A schedule for every hour goes by the passing of time.
    /// </remarks>
    /// <exception cref="FormatException">The expression or the zone.</exception>
    public WorkQueue Cron<T>(string name, string expression, T args, CatchUp catchUp = default, string? timeZone = null, Action<EnqueueOptions>? options = null) =>
        Cron(name, expression, Draft(args, options, out _, out _), catchUp, timeZone);

    /// <inheritdoc cref="Cron{T}"/>
    [OverloadResolutionPriority(1)]
    public WorkQueue Cron(string name, string expression, JobDraft job, CatchUp catchUp = default, string? timeZone = null)
    {
        var schedule = new Schedule(name, CronExpression.Parse(expression, timeZone), catchUp, job);
        lock (gate)
        {
            MustNotRun();
            if (schedules.Exists(other => other.Name == name))
            {
                throw new ArgumentException($"There is a schedule \"{name}\" already.", nameof(name));
            }

            schedules.Add(schedule);
        }

        return this;
    }

    /// <summary>A rate that any number of processes share: for whatever must not go faster, jobs or not.</summary>
    /// <param name="name">All who name it share it; they should agree on rate and burst.</param>
    /// <param name="perSecond">Cost per second, above zero.</param>
    /// <param name="burst">Cost that may go at once after a quiet time, at least 1.</param>
    /// <exception cref="InvalidOperationException">The queue was not opened by <see cref="ConnectAsync"/>: make a <see cref="SharedRateLimiter"/> on your own connection.</exception>
    public SharedRateLimiter Limiter(string name, double perSecond, double burst = 1) => owned is null
        ? throw new InvalidOperationException("This queue has no connection of its own: make a SharedRateLimiter on yours.")
        : new SharedRateLimiter(owned, name, perSecond, burst, options.Time);

    /// <summary>Works until cancelled, then stops as <see cref="StopAsync"/> does.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        await StartAsync(cancellationToken).ConfigureAwait(false);
        await Task.Delay(Timeout.Infinite, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await StopAsync(CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>Starts worker and schedules and returns. May be started again after a stop.</summary>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (gate)
        {
            MustNotRun();
            if (handlers.Count == 0 && schedules.Count == 0)
            {
                throw new InvalidOperationException("There is nothing to run: add a handler or a schedule before the start.");
            }

            running = new CancellationTokenSource();
            var clock = new ServerClock(options.Time);
            var started = new List<Task>();
            if (handlers.Count > 0)
            {
                worker = new Worker(Broker, handlers, options, metrics, clock);
                worker.Start();
            }

            if (schedules.Count > 0)
            {
                var ticker = new CronTicker(
                    Broker, schedules, clock, options.Lease, metrics, options.Time, options.Logging.CreateLogger("Slipway.Queue.Cron"));
                started.Add(Task.Run(() => ticker.RunAsync(running.Token), CancellationToken.None));
            }

            if (options.DepthGauges && Broker is IQueueAdmin admin)
            {
                var gauges = new DepthGauges(admin, metrics, options.Time, options.Logging.CreateLogger("Slipway.Queue.Depth"));
                started.Add(Task.Run(() => gauges.RunAsync(running.Token), CancellationToken.None));
            }

            tasks = [.. started];
        }

        return Task.CompletedTask;
    }

    /// <summary>
    /// Gives unstarted jobs back at once, lets running ones finish for <see cref="WorkQueueOptions.StopGrace"/>, then cancels them and gives back
    /// those that did not finish.
    /// </summary>
    /// <param name="cancellationToken">Cuts the grace short: running handlers are cancelled at once.</param>
    public async Task StopAsync(CancellationToken cancellationToken = default)
    {
        CancellationTokenSource? stopping;
        Worker? stoppingWorker;
        lock (gate)
        {
            (stopping, running) = (running, null);
            (stoppingWorker, worker) = (worker, null);
        }

        if (stopping is null)
        {
            return;
        }

        await stopping.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(tasks).ConfigureAwait(false);
        if (stoppingWorker is not null)
        {
            await stoppingWorker.StopAsync(options.StopGrace, cancellationToken).ConfigureAwait(false);
        }

        stopping.Dispose();
    }

    /// <summary>Stops, and closes what <see cref="ConnectAsync"/> opened.</summary>
    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        if (owned is not null)
        {
            await Broker.DisposeAsync().ConfigureAwait(false);
            await owned.DisposeAsync().ConfigureAwait(false);
        }

        metrics.Dispose();
    }

    internal JsonTypeInfo<T> Json<T>() => (JsonTypeInfo<T>)options.Json.GetTypeInfo(typeof(T));

    private WorkQueue Add(string type, Func<Job, JobContext, CancellationToken, Task> handler, Action<HandlerOptions>? configure)
    {
        var chosen = new HandlerOptions();
        configure?.Invoke(chosen);
        lock (gate)
        {
            MustNotRun();
            if (handlers.Exists(other => other.Type == type))
            {
                throw new ArgumentException(type == Handler.Any ? "There is a handler for any type already." : $"There is a handler for {type} already.", nameof(type));
            }

            metrics.Know(type);
            handlers.Add(new Handler(type, handlers.Count, handler, chosen.Rules, chosen.TimeoutValue, chosen.ConcurrencyValue));
        }

        return this;
    }

    private void MustNotRun()
    {
        if (running is not null)
        {
            throw new InvalidOperationException("The queue runs: add handlers and schedules before the start, and start once.");
        }
    }
}
