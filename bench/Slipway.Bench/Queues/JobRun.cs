using System.Globalization;
using System.Text.Json.Nodes;

namespace Slipway.Bench.Queues;

/// <summary>What one run of one scenario gave.</summary>
/// <param name="JobsPerSecond">From the first job to the last; of a latency run the given rate.</param>
/// <param name="RedisMicros">CPU time of redis-server per job, µs.</param>
/// <param name="ProgramMicros">CPU time of the system's own processes per job, µs.</param>
/// <param name="Commands">Redis commands per job, those inside scripts included.</param>
/// <param name="Bytes">Redis memory per waiting job; only where that was measured.</param>
/// <param name="Delays">From the call of enqueue to the start of the job, µs, sorted; only of a latency run.</param>
/// <param name="Foreign">Share of the machine that others used, 0 … 1.</param>
internal sealed record JobResult(
    double JobsPerSecond, double RedisMicros, double ProgramMicros, double Commands, double? Bytes, IReadOnlyList<long> Delays, double Foreign)
{
    /// <summary>Further figures by their head in the table, of the kinds that have no others.</summary>
    public IReadOnlyList<(string Head, double Value)> More { get; init; } = [];

    public double DelayMillis(double percentile) => Delays[(int)Math.Min(Delays.Count - 1, Delays.Count * percentile)] / 1000.0;
}

/// <summary>Runs one scenario once, on an empty Redis of its own, and checks in Redis that all jobs were enqueued or processed.</summary>
internal sealed partial class JobRun(JobSystem system, string aof, string benchFolder, string dataFolder)
{
    /// <summary>Slow enough for every system here, so that it is the way to the worker that is measured and not the queue.</summary>
    private const int Rate = 200;

    /// <summary>Enough that the fixed part of a queue does not matter, and what the peers' own figures use.</summary>
    private const int MemoryJobs = 50_000;

    private readonly string folder = Path.Combine(benchFolder, system.Folder);

    /// <param name="seconds">About how long it shall be measured.</param>
    public async Task<JobResult> MeasureAsync(JobScenario scenario, double seconds, CancellationToken cancellationToken)
    {
        await using var redis = await PrivateRedis.StartAsync(aof, dataFolder, cancellationToken);
        return scenario.Kind switch
        {
            // 1,000: a bulk call.
            JobKind.Enqueue => await EnqueueAsync(redis, scenario, Math.Max(1000, (int)(scenario.PerSecond * seconds)), cancellationToken),
            JobKind.Memory => await EnqueueAsync(redis, scenario, MemoryJobs, cancellationToken),
            JobKind.Process => await ProcessAsync(redis, scenario, Math.Max(1000, (int)(scenario.PerSecond * seconds)), cancellationToken),
            JobKind.Latency => await DelayAsync(redis, scenario, Rate * Math.Max(5, (int)(seconds * 4)), cancellationToken),
            JobKind.Handler => await HandlerAsync(redis, scenario, (int)(200 * Math.Max(5, seconds * 2)), cancellationToken),
            JobKind.Idle => await IdleAsync(redis, scenario, seconds < 4 ? 15 : 30, cancellationToken),
            JobKind.Starvation => await StarvationAsync(redis, scenario, seconds, cancellationToken),
            _ => await SoakAsync(redis, scenario, cancellationToken),
        };
    }

    private async Task<JobResult> EnqueueAsync(PrivateRedis redis, JobScenario scenario, int jobs, CancellationToken cancellationToken)
    {
        var empty = redis.Probe.Sample();
        await using var producer = Start(redis, "enqueue", jobs, scenario.Arguments);
        await producer.UntilReadyAsync(cancellationToken);
        var use = new Use(redis);
        producer.Go();
        await producer.UntilEndAsync(cancellationToken);
        use.End();
        ShouldWait(redis, jobs);
        // The program enqueues the first job before it says that it is ready.
        var measured = jobs - 1;
        return new JobResult(
            measured / Seconds(producer.Result["first"], producer.Result["last"]), use.RedisMicros / measured, use.ProgramMicros / measured, use.Commands / measured,
            scenario.Kind == JobKind.Memory ? (double)(use.After.Memory - empty.Memory) / jobs : null, [], use.Foreign);
    }

    private async Task<JobResult> ProcessAsync(PrivateRedis redis, JobScenario scenario, int jobs, CancellationToken cancellationToken)
    {
        await FillAsync(redis, jobs, cancellationToken);
        var workers = Enumerable.Range(0, scenario.Processes).Select(_ => Start(redis, "work", jobs, scenario.Arguments)).ToList();
        try
        {
            await Task.WhenAll(workers.Select(worker => worker.UntilReadyAsync(cancellationToken)));
            var use = new Use(redis);
            workers.ForEach(worker => worker.Go());
            await UntilDoneAsync(workers, jobs, cancellationToken);
            use.End();
            ShouldBeProcessed(redis, workers, jobs);
            var ran = workers.Where(worker => worker.Done > 0).ToList();
            var first = ran.MinBy(worker => worker.Result["first"]!.GetValue<long>())!.Result["first"];
            var last = ran.MaxBy(worker => worker.Result["last"]!.GetValue<long>())!.Result["last"];
            return new JobResult(jobs / Seconds(first, last), use.RedisMicros / jobs, use.ProgramMicros / jobs, use.Commands / jobs, null, [], use.Foreign);
        }
        finally
        {
            foreach (var worker in workers)
            {
                await worker.DisposeAsync();
            }
        }
    }

    private async Task<JobResult> DelayAsync(PrivateRedis redis, JobScenario scenario, int jobs, CancellationToken cancellationToken)
    {
        await using var worker = Start(redis, "work", jobs, [.. scenario.Arguments, "--latency"]);
        await worker.UntilReadyAsync(cancellationToken);
        worker.Go();
        await using var producer = Start(redis, "enqueue", jobs, ["--mode", "rate", "--rate", $"{Rate}"]);
        await producer.UntilReadyAsync(cancellationToken);
        var use = new Use(redis);
        producer.Go();
        var produced = producer.UntilEndAsync(cancellationToken);
        await UntilDoneAsync([worker], jobs, cancellationToken);
        await produced;
        use.End();
        ShouldBeProcessed(redis, [worker], jobs);
        // The first second is left out: the worker is starting and its code is cold.
        var delays = worker.Result["delays"]!.AsArray().Skip(Rate).Select(delay => delay!.GetValue<long>()).Order().ToList();
        return new JobResult(Rate, use.RedisMicros / jobs, use.ProgramMicros / jobs, use.Commands / jobs, null, delays, use.Foreign);
    }

    private SystemProgram Start(PrivateRedis redis, string command, int jobs, IEnumerable<string> arguments) => SystemProgram.Start(
        system.Program, folder, command,
        ["--redis", $"127.0.0.1:{redis.Port}", "--count", jobs.ToString(CultureInfo.InvariantCulture), .. arguments]);

    /// <summary>Until the workers together have run all jobs; then stops them and waits for their results.</summary>
    private static async Task UntilDoneAsync(IReadOnlyList<SystemProgram> workers, int jobs, CancellationToken cancellationToken)
    {
        var silent = 0;
        var before = -1L;
        while (workers.Sum(worker => worker.Done) is var done && done < jobs)
        {
            // They report 20 times a second: half a minute without a job done.
            silent = done == before ? silent + 1 : 0;
            if (silent > 600)
            {
                throw workers[0].Failure($"stopped at {done} of {jobs} jobs");
            }

            before = done;
            var alive = await Task.WhenAll(workers.Select(worker => worker.AdvanceAsync(cancellationToken)));
            if (alive.Contains(false))
            {
                throw workers[Array.IndexOf(alive, false)].Failure("ended before it was told to");
            }
        }

        foreach (var worker in workers)
        {
            worker.Stop();
        }

        await Task.WhenAll(workers.Select(worker => worker.UntilEndAsync(cancellationToken)));
    }

    private void ShouldWait(PrivateRedis redis, int jobs)
    {
        if (redis.Probe.Sum(system.Waiting) is var waiting && waiting != jobs)
        {
            throw new InvalidOperationException($"{system.Name} said that it had enqueued {jobs} jobs; in Redis are {waiting}.");
        }
    }

    private void ShouldBeProcessed(PrivateRedis redis, IReadOnlyList<SystemProgram> workers, long jobs)
    {
        var (done, sum) = (workers.Sum(worker => worker.Done), workers.Sum(worker => worker.Result["sum"]!.GetValue<long>()));
        var left = redis.Probe.Sum(system.Waiting.Concat(system.Left));
        // The ids are 0 … jobs − 1: with their sum, that none ran twice in the place of another is checked too.
        if (done != jobs || sum != jobs * (jobs - 1) / 2 || left != 0)
        {
            throw new InvalidOperationException($"{system.Name} ran {done} jobs of {jobs} (ids add up to {sum}, not {jobs * (jobs - 1) / 2}), and {left} are left in Redis.");
        }
    }

    private static double Seconds(JsonNode? first, JsonNode? last) => (last!.GetValue<long>() - first!.GetValue<long>()) / 1e6;
}
