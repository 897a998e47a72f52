using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Chaos.Accounting;
using Slipway.Chaos.Faults;
using Slipway.Chaos.Reports;
using Slipway.Chaos.Roles;
using Slipway.Queue;
using Slipway.Resp;

namespace Slipway.Chaos.Scenarios;

/// <summary>
/// What one scenario works with: a folder, servers, proxies, processes, the ids it has given out, and what it found. Everything it
/// started ends with it.
/// </summary>
internal sealed class Stage : IAsyncDisposable
{
    public const string QueueName = "chaos";

    private readonly ChaosOptions options;
    private readonly Action<string> progress;
    private readonly List<IAsyncDisposable> opened = [];
    private readonly List<WorkerProcess> workers = [];
    private readonly List<ProducerProcess> producers = [];
    private readonly List<(string Name, RecordFile<RunRecord> Log)> hosts = [];
    private readonly List<OfferRecord> offers = [];
    private readonly Lock gate = new();
    private readonly List<CheckResult> checks = [];
    private readonly List<string> notes = [];
    private long sequence;
    private int names;
    private int started;

    public Stage(ChaosOptions options, int seed, Action<string> progress, CancellationToken cancellationToken)
    {
        this.options = options;
        this.progress = progress;
        Token = cancellationToken;
        Random = new Random(seed);
        Folder = Directory.CreateTempSubdirectory("slipway-chaos-").FullName;
    }

    public CancellationToken Token { get; }

    public Random Random { get; }

    public string Folder { get; }

    public bool Quick => options.Quick;

    public ChaosOptions Options => options;

    public IReadOnlyList<WorkerProcess> Workers => workers;

    public IReadOnlyList<ProducerProcess> Producers => producers;

    public IReadOnlyList<CheckResult> Checks => checks;

    public IReadOnlyList<string> Notes => notes;

    /// <summary>The figures of the report.</summary>
    public Account? Account { get; set; }

    public QueueStats? Stats { get; set; }

    public TimeSpan? Recovery { get; set; }

    public string DuplicateBound { get; set; } = "0";

    public int LostAllowed { get; set; }

    /// <summary>How hard a scenario is made: what it takes in full, or in the quick half.</summary>
    public T Either<T>(T full, T quick) => Quick ? quick : full;

    /// <summary>Jobs per second of a steady load: well below what two cores carry with four workers and a Redis beside each other, so that throughput is the producers'.</summary>
    public int SteadyRate => Either(20_000, 5_000);

    /// <summary>Where workers die: the library's default in full; shorter where waiting for it would be most of the time.</summary>
    public int LeaseMilliseconds => Either(10_000, 4_000);

    /// <summary>Where no worker dies: no loaded machine stands still for so long, so that a lease that runs out was left behind.</summary>
    public const int LongLeaseMilliseconds = 30_000;

    public void Say(string text) => progress(text);

    public void Note(string text) => notes.Add(text);

    /// <summary>What has to hold on every machine, however loaded: it decides whether the scenario passes.</summary>
    public void Check(string what, bool passed, string detail)
    {
        checks.Add(new CheckResult(what, passed, detail));
        if (!passed)
        {
            Say($"FAILED {what}: {detail}");
        }
    }

    /// <summary>What is about speed: it is reported, and decides nothing.</summary>
    public void Aim(string what, bool reached, string detail)
    {
        checks.Add(new CheckResult(what, reached, detail, IsAim: true));
        if (!reached)
        {
            Say($"aim missed, {what}: {detail}");
        }
    }

    public Task PauseAsync(double seconds) => Task.Delay(TimeSpan.FromSeconds(seconds), Token);

    /// <summary>Looks every 5 ms until the condition holds; false when it did not within so many seconds.</summary>
    public async Task<bool> UntilAsync(Func<Task<bool>> condition, double seconds)
    {
        for (long from = Moments.Now; Moments.Seconds(Moments.Now - from) < seconds;)
        {
            if (await condition())
            {
                return true;
            }

            await Task.Delay(5, Token);
        }

        return await condition();
    }

    public Task<bool> UntilAsync(Func<bool> condition, double seconds) => UntilAsync(() => Task.FromResult(condition()), seconds);

    public T Own<T>(T one)
        where T : IAsyncDisposable
    {
        lock (gate)
        {
            opened.Add(one);
        }

        return one;
    }

    public string NewFile(string name) => Path.Combine(Folder, $"{Interlocked.Increment(ref names):000}-{name}");

    public async Task<PrivateRedis> StartRedisAsync(AppendMode mode = AppendMode.None, params string[] more) =>
        Own(await PrivateRedis.StartAsync(options.RedisProgram, Directory.CreateDirectory(NewFile("redis")).FullName, mode, more, Token));

    public FaultProxy StartProxy(PrivateRedis redis) => Own(FaultProxy.To(redis.Port));

    public async Task<IRespClient> ConnectAsync(string url, Func<RespOptions, RespOptions>? with = null)
    {
        var plain = new RespOptions { Url = url };
        return Own(await RespClient.ConnectAsync(with?.Invoke(plain) ?? plain, NullLogger.Instance, Token));
    }

    /// <summary>The queue, through the front door of the library, with a connection of its own.</summary>
    public async Task<RedisBroker> OpenAsync(string url, BrokerOptions? broker = null, Func<RespOptions, RespOptions>? with = null) =>
        Own(await RedisBroker.OpenAsync(await ConnectAsync(url, with), QueueName, broker ?? new BrokerOptions(), Token));

    public async Task<WorkerProcess> StartWorkerAsync(string url, Func<WorkerSettings, WorkerSettings>? with = null, IReadOnlyDictionary<string, string>? environment = null)
    {
        string name = $"w{Interlocked.Increment(ref started)}";
        var plain = new WorkerSettings { Url = url, Queue = QueueName, Log = NewFile($"{name}.runs"), LeaseMilliseconds = LeaseMilliseconds };
        WorkerProcess worker = Own(await WorkerProcess.StartAsync(name, with?.Invoke(plain) ?? plain, NewFile($"{name}.log"), environment, Token));
        // Several start at once.
        lock (gate)
        {
            workers.Add(worker);
        }

        return worker;
    }

    /// <summary>So many at once, and waits until all are at work.</summary>
    public async Task StartWorkersAsync(int count, string url, Func<WorkerSettings, WorkerSettings>? with = null)
    {
        WorkerProcess[] all = await Task.WhenAll(Enumerable.Range(0, count).Select(_ => StartWorkerAsync(url, with)));
        await Task.WhenAll(all.Select(worker => worker.ReadyAsync(Token)));
    }

    public async Task<ProducerProcess> StartProducerAsync(string url, Func<ProducerSettings, ProducerSettings>? with = null)
    {
        int number = producers.Count + 1;
        var plain = new ProducerSettings { Url = url, Queue = QueueName, Log = NewFile($"p{number}.offers"), Number = number, Rate = SteadyRate };
        ProducerProcess producer = Own(await ProducerProcess.StartAsync(with?.Invoke(plain) ?? plain, NewFile($"p{number}.log"), Token));
        producers.Add(producer);
        await producer.ReadyAsync(Token);
        return producer;
    }

    /// <summary>A worker inside this process.</summary>
    public async Task<WorkerHost> HostAsync(string url, Func<WorkerSettings, WorkerSettings>? with = null, TimeProvider? time = null, Action<WorkQueue>? more = null)
    {
        string name = $"in{hosts.Count + 1}";
        var plain = new WorkerSettings { Url = url, Queue = QueueName, Log = NewFile($"{name}.runs"), LeaseMilliseconds = LeaseMilliseconds };
        WorkerSettings settings = with?.Invoke(plain) ?? plain;
        RecordFile<RunRecord> log = WorkerHost.CreateLog(settings.Log);
        hosts.Add((name, log));
        return Own(await WorkerHost.StartAsync(settings, time ?? TimeProvider.System, NullLoggerFactory.Instance, more, Token));
    }

    /// <summary>The next id of this process's own producer (number 0).</summary>
    public ulong NewId() => JobNumbers.Of(0, Interlocked.Increment(ref sequence));

    public void Tell(OfferKind kind, ulong id)
    {
        var record = default(OfferRecord);
        OfferRecords.Write(ref record, kind, id, 1);
        lock (gate)
        {
            offers.Add(record);
        }
    }

    /// <summary>A job that is accounted for.</summary>
    public JobDraft Draft(WorkKind kind = WorkKind.Nothing, int microseconds = 0, int bytes = JobWork.DefaultPadding) =>
        new() { Type = WorkerHost.JobType, Payload = new JobWork(NewId(), kind, microseconds).Write(bytes) };

    /// <summary>Enqueues accounted jobs in blocks of up to 1,000 and keeps the books; what throws is told as refused or in doubt, and thrown.</summary>
    public async Task<IReadOnlyList<Enqueued>> EnqueueAsync(IQueueBroker broker, IReadOnlyList<JobDraft> jobs, Durability durability = Durability.Server)
    {
        var all = new List<Enqueued>();
        foreach (JobDraft[] block in jobs.Chunk(1000))
        {
            ulong[] ids = [.. block.Select(job => JobWork.Read(job.Payload.Span).Id)];
            Array.ForEach(ids, id => Tell(OfferKind.Offered, id));
            try
            {
                IReadOnlyList<Enqueued> outcomes = await broker.EnqueueAsync(block, durability, Token);
                all.AddRange(outcomes);
                foreach ((ulong id, Enqueued outcome) in ids.Zip(outcomes))
                {
                    Tell(outcome.Outcome is EnqueueOutcome.Added ? OfferKind.Acknowledged : OfferKind.Refused, id);
                }
            }
            catch (Exception e)
            {
                if (e is not RespConnectionException { InDoubt: true })
                {
                    Array.ForEach(ids, id => Tell(OfferKind.Refused, id));
                }

                throw;
            }
        }

        return all;
    }

    public long Executions => workers.Sum(worker => (long)worker.Log.Count) + hosts.Sum(host => (long)host.Log.Count);

    public bool HasRun(ulong id)
    {
        foreach ((_, RecordFile<RunRecord> log) in hosts)
        {
            // From the end: whoever asks waits for a late one.
            ReadOnlySpan<RunRecord> records = log.Records;
            for (int i = records.Length - 1; i >= 0; i--)
            {
                if (records[i].Id == id)
                {
                    return true;
                }
            }
        }

        return false;
    }

    public IEnumerable<RunLog> RunLogs => workers.Select(worker => worker.Runs).Concat(hosts.Select(host => new RunLog(host.Name, host.Log.Records.ToArray(), [])));

    public IEnumerable<OfferRecord> Offers
    {
        get
        {
            lock (gate)
            {
                return [.. offers, .. producers.SelectMany(producer => producer.Log.Records.ToArray())];
            }
        }
    }

    /// <summary>Takes over what a part of the scenario found.</summary>
    public void Take(Stage part, string name)
    {
        checks.AddRange(part.checks.Select(check => check with { What = $"{name}: {check.What}" }));
        notes.AddRange(part.notes);
        (Account, Stats, DuplicateBound, LostAllowed) = (Sum(Account, part.Account), part.Stats, part.DuplicateBound, LostAllowed + part.LostAllowed);
        Recovery = part.Recovery > Recovery || Recovery is null ? part.Recovery : Recovery;
    }

    private static Account? Sum(Account? one, Account? other) => one is null || other is null ? one ?? other : other with
    {
        Acknowledged = one.Acknowledged + other.Acknowledged,
        Unknown = one.Unknown + other.Unknown,
        Executions = one.Executions + other.Executions,
        Dead = one.Dead + other.Dead,
        Lost = [.. one.Lost, .. other.Lost],
        Ghosts = [.. one.Ghosts, .. other.Ghosts],
        Duplicates = one.Duplicates + other.Duplicates,
    };

    public async ValueTask DisposeAsync()
    {
        foreach (IAsyncDisposable one in Enumerable.Reverse(opened))
        {
            try
            {
                await one.DisposeAsync();
            }
            catch (Exception e) when (e is ObjectDisposedException or RespException)
            {
                // Closed by the scenario already, or its server is gone.
            }
        }

        hosts.ForEach(host => host.Log.Dispose());
        if (!options.KeepLogs || checks.TrueForAll(check => check.Passed || check.IsAim))
        {
            Directory.Delete(Folder, recursive: true);
        }
        else
        {
            Say($"logs are kept in {Folder}");
        }
    }
}
