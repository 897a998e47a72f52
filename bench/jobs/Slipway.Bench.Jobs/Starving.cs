using System.Text.Json.Nodes;
using Slipway.Queue;

namespace Slipway.Bench.Jobs;

/// <summary>
/// Three levels, the top one always full. First the lower ones are full too: which share of the work do they get? Then a few jobs a second
/// come to each of them: how long does the slowest wait?
/// </summary>
internal static class Starving
{
    private static readonly JobPriority[] Levels = [JobPriority.Highest, JobPriority.Normal, JobPriority.Lowest];

    /// <summary>Jobs that wait at a full level: some blocks of 1,000.</summary>
    private const int Full = 5_000;

    /// <summary>A hundredth of what the workers do: far below the share of the lower levels.</summary>
    private const int TricklePerSecond = 50;

    public static async Task RunAsync(BenchOptions options)
    {
        var (queued, done, oldest) = (new long[Levels.Length], new long[Levels.Length], new long[Levels.Length]);
        await using var queue = await options.ConnectAsync();
        queue.Handle<CountJob>(async (job, cancellationToken) =>
        {
            var level = job.Args.Level;
            var age = Clock.Now - job.Args.At;
            // So that the handlers and not the queue are what is short.
            await Task.Delay(1, cancellationToken);
            lock (done)
            {
                done[level]++;
                queued[level]--;
                oldest[level] = Math.Max(oldest[level], age);
            }
        });
        Task<EnqueuedMany> FillAsync(int level, int jobs)
        {
            lock (done)
            {
                queued[level] += jobs;
            }

            return queue.EnqueueManyAsync(Enumerable.Range(0, jobs).Select(id => CountJob.New(id, level)), enqueue => enqueue.Priority(Levels[level]));
        }

        async Task KeepFullAsync(IReadOnlyList<int> levels, double seconds, Func<double, Task> also)
        {
            for (var end = Clock.Now + (long)(seconds * 1e6); Clock.Now < end;)
            {
                foreach (var level in levels)
                {
                    if (Volatile.Read(ref queued[level]) is var waiting && waiting < Full)
                    {
                        await FillAsync(level, Full - (int)waiting);
                    }
                }

                await Task.Delay(10);
                await also(seconds - ((end - Clock.Now) / 1e6));
            }
        }

        for (var level = 0; level < Levels.Length; level++)
        {
            await FillAsync(level, Full);
        }

        await Conversation.ReadyAsync();
        using var progress = Conversation.Repeat(() => new JsonObject { ["done"] = done.Sum() });
        await queue.StartAsync(CancellationToken.None);
        await KeepFullAsync([0, 1, 2], options.Seconds, _ => Task.CompletedTask);
        long[] shares;
        lock (done)
        {
            shares = [.. done];
        }

        // The lower levels run empty, so that the ages are those of jobs that came afterwards.
        while (Volatile.Read(ref queued[1]) + Volatile.Read(ref queued[2]) > 0)
        {
            await KeepFullAsync([0], 0.1, _ => Task.CompletedTask);
        }

        lock (done)
        {
            Array.Clear(oldest);
        }

        var sent = 0;
        await KeepFullAsync([0], options.Seconds, async elapsed =>
        {
            var due = (int)(elapsed * TricklePerSecond) - sent;
            sent += due;
            if (due > 0)
            {
                await FillAsync(1, due);
                await FillAsync(2, due);
            }
        });
        var result = new JsonObject
        {
            ["done"] = done.Sum(),
            ["perSecond"] = shares.Sum() / options.Seconds,
            ["shares"] = new JsonArray([.. shares.Select(share => (JsonNode)((double)share / shares.Sum()))]),
            ["oldest"] = new JsonArray([.. oldest.Select(age => (JsonNode)age)]),
            ["trickled"] = sent,
        };
        await queue.StopAsync();
        Conversation.Say(result);
    }
}
