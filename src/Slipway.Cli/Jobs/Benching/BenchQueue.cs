using System.Collections.Concurrent;
using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Slipway.Api;
using Slipway.Cli.Jobs.Producing;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Benching;

/// <summary><c>slipway jobs bench</c>: how fast a server's queues are over HTTP, from here, in a queue of its own.</summary>
internal sealed class BenchQueue : JobVerb
{
    private const int UsualJobs = 50_000;
    private const int UsualPayload = 80;
    private const int UsualConnections = 8;
    private const int UsualBlock = 500;

    /// <summary>One a request costs far more than in blocks: fewer say as much.</summary>
    private const int MostSingles = 10_000;

    private const double PickUpPerSecond = 200;
    private static readonly TimeSpan PickUpFor = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Wait = TimeSpan.FromSeconds(5);

    private readonly Option<string?> org;
    private readonly Option<int?> jobs;
    private readonly Option<int?> payload;
    private readonly Option<int?> connections;
    private readonly Option<int?> block;

    public BenchQueue()
        : base("bench", "Measure a server's queues over HTTP: throughput and latency")
    {
        org = OrgOption();
        jobs = Number("--jobs", "N", $"Jobs of the bulk phases; {UsualJobs} unless given", least: 100, most: 1_000_000);
        payload = Number("--payload", "BYTES", $"Size of a payload; {UsualPayload} unless given", least: 2, most: 65_536);
        connections = Number("--connections", "N", $"Requests at once; {UsualConnections} unless given", least: 1, most: 256);
        block = Number("--block", "N", $"Jobs a request in the bulk phases; {UsualBlock} unless given", least: 1, most: 1000);
    }

    public override string Remarks => "Creates a queue of its own and deletes it again, also at Ctrl-C. What it measures is server, network and this machine together; the jobs do nothing.";

    public override IReadOnlyList<string> Examples => ["jobs bench", "jobs bench --jobs 200000 --connections 16 --block 1000 --json"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var orgName = run.Org(org);
        var name = string.Create(CultureInfo.InvariantCulture, $"bench-{run.Now.ToUnixTimeSeconds():x}-{Random.Shared.Next(0x10000):x4}");
        await run.Client.CreateQueueAsync(
            orgName, new CreateQueueRequest(name, "slipway jobs bench; may be deleted", new JobQueueSettingsChange(MaxJobs: 1_000_000)), cancellationToken);
        try
        {
            var report = await MeasureAsync(run, orgName, name, cancellationToken);
            if (run.Json)
            {
                run.Out.WriteLine(JsonSerializer.Serialize(report, JobsJson.Indented.BenchReport));
            }
            else
            {
                Print(report, run);
            }
        }
        finally
        {
            // Also when it was stopped: the queue is this command's own.
            await run.Client.DeleteQueueAsync(orgName, name, force: true, etag: null, CancellationToken.None);
        }

        return ExitCodes.Ok;
    }

    private async Task<BenchReport> MeasureAsync(Invocation run, string orgName, string name, CancellationToken cancellationToken)
    {
        var time = run.Environment.Time;
        var count = run.Get(jobs) ?? UsualJobs;
        var size = run.Get(payload) ?? UsualPayload;
        var parallel = run.Get(connections) ?? UsualConnections;
        var blockSize = run.Get(block) ?? UsualBlock;
        var singles = Math.Min(count, MostSingles);
        var line = JsonSerializer.SerializeToUtf8Bytes(Job(size), ApiJson.Default.NewJob);
        // Connections, compiled code and the queue's first steps are not what is asked about.
        await ManyAsync(parallel, parallel * 2, run, "warming up", async _ => await run.Client.EnqueueJobAsync(orgName, name, Job(size), null, cancellationToken), cancellationToken);
        await WorkAsync(run, orgName, name, parallel * 2, parallel, blockSize, "warming up", cancellationToken);

        var bulk = await TimedAsync(() => ManyAsync(parallel, (count + blockSize - 1) / blockSize, run, "1/4 enqueue in blocks", async at =>
        {
            var these = Math.Min(blockSize, count - (at * blockSize));
            var body = new byte[these * (line.Length + 1)];
            for (var i = 0; i < these; i++)
            {
                line.CopyTo(body, i * (line.Length + 1));
                body[((i + 1) * (line.Length + 1)) - 1] = (byte)'\n';
            }

            await run.Client.EnqueueLinesAsync(orgName, name, body, null, cancellationToken);
        }, cancellationToken));
        var work = await TimedAsync(() => WorkAsync(run, orgName, name, count, parallel, blockSize, "2/4 lease and acknowledge", cancellationToken));

        var latencies = new ConcurrentBag<double>();
        var single = await TimedAsync(() => ManyAsync(parallel, singles, run, "3/4 enqueue one by one", async _ =>
        {
            var begun = time.GetTimestamp();
            await run.Client.EnqueueJobAsync(orgName, name, Job(size), null, cancellationToken);
            latencies.Add(time.GetElapsedTime(begun).TotalMilliseconds);
        }, cancellationToken));
        await WorkAsync(run, orgName, name, singles, parallel, blockSize, "3/4 clearing up", cancellationToken);

        var pickUps = await PickUpAsync(run, orgName, name, cancellationToken);
        Progress(run, "", 0, 0);
        return new BenchReport(
            run.Client.Url.GetLeftPart(UriPartial.Authority), count, size, parallel, blockSize,
            Math.Round(count / bulk.TotalSeconds), Math.Round(count / work.TotalSeconds), Math.Round(singles / single.TotalSeconds), BenchLatency.Of(latencies), PickUpPerSecond, BenchLatency.Of(pickUps));

        async Task<TimeSpan> TimedAsync(Func<Task> phase)
        {
            var begun = time.GetTimestamp();
            await phase();
            return time.GetElapsedTime(begun);
        }
    }

    private static async Task ManyAsync(int parallel, int count, Invocation run, string phase, Func<int, Task> one, CancellationToken cancellationToken)
    {
        var done = 0;
        await Parallel.ForAsync(0, count, new ParallelOptions { MaxDegreeOfParallelism = parallel, CancellationToken = cancellationToken }, async (at, _) =>
        {
            await one(at);
            Progress(run, phase, Interlocked.Increment(ref done), count);
        });
    }

    /// <summary>Leases until so many jobs were seen; each call closes the blocks of the one before.</summary>
    private static Task WorkAsync(Invocation run, string orgName, string name, int count, int parallel, int blockSize, string phase, CancellationToken cancellationToken)
    {
        var left = count;
        return Task.WhenAll(Enumerable.Range(0, parallel).Select(async worker =>
        {
            List<string> finished = [];
            while (Volatile.Read(ref left) > 0)
            {
                var answer = await LeaseAsync(blockSize, TimeSpan.FromMilliseconds(100));
                finished = [.. answer.Blocks.Select(one => one.Id)];
                var now = Interlocked.Add(ref left, -answer.Blocks.Sum(one => one.Jobs.Count));
                Progress(run, phase, count - Math.Max(0, now), count);
            }

            while (finished.Count > 0)
            {
                finished = [.. (await LeaseAsync(0, TimeSpan.Zero)).Blocks.Select(one => one.Id)];
            }

            Task<LeasedBlocks> LeaseAsync(int max, TimeSpan wait) => run.Client.LeaseAsync(
                orgName, name, new LeaseRequest(max, (long)Lease.TotalMilliseconds, (long)wait.TotalMilliseconds, string.Create(CultureInfo.InvariantCulture, $"bench-{worker}"), finished, Raw: true), cancellationToken);
        }));
    }

    /// <summary>At a steady rate, far below the limit: how long until an idle worker has the job.</summary>
    private static async Task<IReadOnlyList<double>> PickUpAsync(Invocation run, string orgName, string name, CancellationToken cancellationToken)
    {
        var time = run.Environment.Time;
        var begun = new ConcurrentDictionary<Guid, long>();
        var latencies = new List<double>();
        var count = (int)(PickUpPerSecond * PickUpFor.TotalSeconds);
        var seen = 0;
        var working = Task.Run(async () =>
        {
            List<string> finished = [];
            while (seen < count || finished.Count > 0)
            {
                var answer = await run.Client.LeaseAsync(
                    orgName, name, new LeaseRequest(seen < count ? 100 : 0, (long)Lease.TotalMilliseconds, seen < count ? (long)Wait.TotalMilliseconds : 0, "bench-0", finished, Raw: true), cancellationToken);
                var now = time.GetTimestamp();
                finished = [.. answer.Blocks.Select(one => one.Id)];
                foreach (var job in answer.Blocks.SelectMany(one => one.Jobs))
                {
                    seen++;
                    if (begun.TryGetValue(job.Id, out var at))
                    {
                        latencies.Add(time.GetElapsedTime(at, now).TotalMilliseconds);
                    }
                }

                Progress(run, "4/4 pick-up by an idle worker", seen, count);
            }
        }, cancellationToken);
        var pace = new Pace(PickUpPerSecond, time);
        List<Task> enqueues = [];
        for (var at = 0; at < count && !working.IsFaulted; at++)
        {
            await pace.WaitAsync(1, cancellationToken);
            var id = Guid.CreateVersion7();
            begun[id] = time.GetTimestamp();
            enqueues.Add(run.Client.EnqueueJobAsync(orgName, name, Job(UsualPayload) with { Id = id }, null, cancellationToken));
        }

        await Task.WhenAll(enqueues);
        await working;
        return latencies;
    }

    private static NewJob Job(int size) => new("bench", Payload: JsonElement.Parse(Encoding.UTF8.GetBytes($"\"{new string('x', Math.Max(0, size - 2))}\"")));

    private static readonly Lock Drawing = new();
    private static long drawnAt;

    private static void Progress(Invocation run, string phase, long done, long all)
    {
        if (!run.Environment.ErrorIsTerminal || run.Json || run.Quiet)
        {
            return;
        }

        lock (Drawing)
        {
            if (done < all && run.Environment.Time.GetElapsedTime(drawnAt) < TimeSpan.FromMilliseconds(50))
            {
                return;
            }

            drawnAt = run.Environment.Time.GetTimestamp();
            const int Room = 30;
            var filled = all == 0 ? 0 : (int)(Room * done / all);
            var style = run.Terminal.ErrorStyle;
            run.Environment.Error.Write(phase.Length == 0 ? "\r\e[K" : $"\r{phase,-30} {style.Cyan(new string('━', filled))}{style.Dim(new string('╌', Room - filled))} {Figures.Count(done)} of {Figures.Count(all)}\e[K");
        }
    }

    private static void Print(BenchReport report, Invocation run)
    {
        new Fields()
            .Add("server", report.Server)
            .Add("load", string.Create(CultureInfo.InvariantCulture, $"{report.Jobs:#,0} jobs of {report.PayloadBytes} B, {report.Connections} requests at once, blocks of {report.Block}"))
            .Add("enqueue, blocks", Rate(report.BulkPerSecond))
            .Add("work, no-op", Rate(report.WorkPerSecond))
            .Add("enqueue, single", $"{Rate(report.SinglePerSecond)}   {Words(report.Single)}")
            .Add("pick-up", string.Create(CultureInfo.InvariantCulture, $"at {report.PickUpRate:0} jobs/s   {Words(report.PickUp)}"))
            .Write(run.Terminal);

        static string Rate(double perSecond) => string.Create(CultureInfo.InvariantCulture, $"{perSecond,9:#,0} jobs/s");

        static string Words(BenchLatency latency) => string.Create(CultureInfo.InvariantCulture, $"p50 {latency.P50:0.0#} ms   p90 {latency.P90:0.0#} ms   p99 {latency.P99:0.0#} ms   most {latency.Most:0.0} ms");
    }
}
