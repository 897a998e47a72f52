using System.Diagnostics;
using System.Globalization;

namespace Slipway.Bench.Queues;

/// <summary>How a system behaves with slow handlers, without jobs, with more than it can do, and over a long time.</summary>
internal sealed partial class JobRun
{
    /// <summary>A worker that was just started settles first.</summary>
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan Printing = TimeSpan.FromSeconds(10);

    /// <summary>The first INFO and MONITOR, which count themselves when they have been executed.</summary>
    private const int OurCommands = 2;

    /// <summary>Minutes of a soak. Ten are what the aim asks for.</summary>
    public double SoakMinutes { get; init; } = 10;

    private async Task<JobResult> HandlerAsync(PrivateRedis redis, JobScenario scenario, int jobs, CancellationToken cancellationToken)
    {
        await FillAsync(redis, jobs, cancellationToken);
        await using var worker = Start(redis, "work", jobs, scenario.Arguments);
        await worker.UntilReadyAsync(cancellationToken);
        var use = new Use(redis);
        worker.Go();
        await UntilDoneAsync([worker], jobs, cancellationToken);
        use.End();
        ShouldBeProcessed(redis, [worker], jobs);
        var result = worker.Result;
        var seconds = Seconds(result["first"], result["last"]);
        // The last job's own time lies behind its start.
        var busy = result["busy"]!.GetValue<long>() / 1e6 * (jobs - 1) / jobs;
        return new JobResult((jobs - 1) / seconds, use.RedisMicros / jobs, use.ProgramMicros / jobs, use.Commands / jobs, null, [], use.Foreign)
        {
            More = [("% of 200/s", (jobs - 1) / seconds / 2), ("% of the time in handlers", busy / seconds * 100)],
        };
    }

    /// <remarks>MONITOR tells what is sent; total_commands_processed has what scripts call besides.</remarks>
    private async Task<JobResult> IdleAsync(PrivateRedis redis, JobScenario scenario, double seconds, CancellationToken cancellationToken)
    {
        await using var worker = Start(redis, "work", 1, scenario.Arguments);
        await worker.UntilReadyAsync(cancellationToken);
        worker.Go();
        await Task.Delay(Settling, cancellationToken);
        using var monitor = await RedisProbe.ConnectAsync(redis.Port, cancellationToken);
        var use = new Use(redis);
        var start = Stopwatch.GetTimestamp();
        monitor.Send("MONITOR");
        await Task.Delay(TimeSpan.FromSeconds(seconds), cancellationToken);
        use.End();
        var elapsed = Stopwatch.GetElapsedTime(start).TotalSeconds;
        // The probe's own INFO at the end.
        var sent = monitor.CountSentCommands("\"INFO\"");
        worker.Stop();
        await worker.UntilEndAsync(cancellationToken);
        return new JobResult(0, 0, 0, 0, null, [], use.Foreign)
        {
            More =
            [
                ("sent/s", sent / elapsed), ("commands/s, those in scripts included", (use.Commands - OurCommands) / elapsed),
                ("Redis µs/s", use.RedisMicros / elapsed), ("program µs/s", use.ProgramMicros / elapsed),
            ],
        };
    }

    private async Task<JobResult> StarvationAsync(PrivateRedis redis, JobScenario scenario, double seconds, CancellationToken cancellationToken)
    {
        await using var program = Start(redis, "starvation", 0, [.. scenario.Arguments, "--seconds", seconds.ToString(CultureInfo.InvariantCulture)]);
        await program.UntilReadyAsync(cancellationToken);
        var use = new Use(redis);
        program.Go();
        await program.UntilEndAsync(cancellationToken);
        use.End();
        double At(string name, int level) => program.Result[name]![level]!.GetValue<double>();
        double Oldest(int level) => program.Result["oldest"]![level]!.GetValue<long>() / 1000.0;
        return new JobResult(program.Result["perSecond"]!.GetValue<double>(), 0, 0, 0, null, [], use.Foreign)
        {
            More =
            [
                ("all full: % for the top", At("shares", 0) * 100), ("% for the 2nd", At("shares", 1) * 100), ("% for the 3rd", At("shares", 2) * 100),
                ("50/s beside a full top: max wait of the 2nd, ms", Oldest(1)), ("of the 3rd, ms", Oldest(2)),
            ],
        };
    }

    private async Task<JobResult> SoakAsync(PrivateRedis redis, JobScenario scenario, CancellationToken cancellationToken)
    {
        await using var program = Start(redis, "soak", 0, [.. scenario.Arguments, "--seconds", (SoakMinutes * 60).ToString(CultureInfo.InvariantCulture)]);
        await program.UntilReadyAsync(cancellationToken);
        var use = new Use(redis);
        program.Go();
        var samples = new List<SoakSample>();
        var printed = -Printing.TotalSeconds;
        while (await program.AdvanceAsync(cancellationToken))
        {
            var state = program.Result;
            if (state["sustained"] is not null)
            {
                break;
            }

            var sample = new SoakSample(
                state["elapsed"]!.GetValue<double>(), state["rss"]!.GetValue<long>(), state["heap"]!.GetValue<long>(), redis.Probe.Sample().Memory,
                redis.Probe.Sum(["DBSIZE"]), state["unfinished"]!.GetValue<long>());
            samples.Add(sample);
            if (sample.Elapsed - printed >= Printing.TotalSeconds)
            {
                printed = sample.Elapsed;
                Console.Error.WriteLine(sample);
            }
        }

        await program.UntilEndAsync(cancellationToken);
        use.End();
        var (done, left) = (program.Result["done"]!.GetValue<long>(), redis.Probe.Sum(system.Waiting.Concat(system.Left)));
        if (left != 0 || program.Result["unfinished"]!.GetValue<long>() != 0)
        {
            throw new InvalidOperationException($"After the soak {left} jobs are left in Redis, and {program.Result["unfinished"]} were not run.");
        }

        return new JobResult(
            program.Result["sustained"]!.GetValue<double>(), use.RedisMicros / done, use.ProgramMicros / done, use.Commands / done, null, [], use.Foreign)
        {
            More =
            [
                ("end to end in one process, jobs/s", program.Result["ceiling"]!.GetValue<double>()), ("minutes", SoakMinutes),
                ("RSS MB", samples[^1].Rss / 1e6), .. SoakSample.Growth(samples),
            ],
        };
    }

    private async Task FillAsync(PrivateRedis redis, int jobs, CancellationToken cancellationToken)
    {
        await using (var producer = Start(redis, "enqueue", jobs, ["--mode", system.Fill]))
        {
            await producer.UntilReadyAsync(cancellationToken);
            producer.Go();
            await producer.UntilEndAsync(cancellationToken);
        }

        ShouldWait(redis, jobs);
    }
}

/// <summary>Memory at one moment of a soak; bytes, seconds.</summary>
/// <param name="Heap">Of .NET, after the last collection.</param>
/// <param name="Redis">used_memory.</param>
internal sealed record SoakSample(double Elapsed, long Rss, long Heap, long Redis, long Keys, long Unfinished)
{
    /// <summary>
    /// The last fifth against the second one, in percent: the first fifth warms up. Of each the lowest tenth: what is on its way at the moment
    /// comes on top, and what leaks stays below.
    /// </summary>
    public static IEnumerable<(string Head, double Percent)> Growth(IReadOnlyList<SoakSample> samples)
    {
        var fifth = Math.Max(1, samples.Count / 5);
        double Percent(Func<SoakSample, double> value)
        {
            var (early, late) = (Low(samples.Skip(fifth).Take(fifth).Select(value)), Low(samples.TakeLast(fifth).Select(value)));
            return early == 0 ? 0 : (late - early) / early * 100;
        }

        static double Low(IEnumerable<double> values) => values.Order().ToList() is var sorted ? sorted[sorted.Count / 10] : 0;

        yield return ("RSS growth %", Percent(sample => sample.Rss));
        yield return ("GC heap growth %", Percent(sample => sample.Heap));
        yield return ("Redis memory growth %", Percent(sample => sample.Redis));
        yield return ("keys growth %", Percent(sample => sample.Keys));
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"soak {Elapsed,5:N0} s: RSS {Rss / 1e6,6:N1} MB, GC heap {Heap / 1e6,6:N1} MB, Redis {Redis / 1e6,6:N2} MB, {Keys} keys, {Unfinished} jobs on their way");
}
