using System.Text.Json.Nodes;
using Slipway.Queue;

namespace Slipway.Bench.Jobs;

/// <summary>The producer: enqueues as many jobs as it was told to, in the way it was told.</summary>
internal static class Producing
{
    public static async Task RunAsync(BenchOptions options)
    {
        await using var queue = await options.ConnectAsync();
        // So that connecting and loading scripts are not measured: the first job of each run goes in before.
        await queue.EnqueueAsync(CountJob.New(0));
        await Conversation.ReadyAsync();
        var (first, allocated, cpu) = (Clock.Now, GC.GetTotalAllocatedBytes(), Environment.CpuUsage.TotalTime);
        switch (options.Mode)
        {
            case "single": await InFlightAsync(queue, options, 1); break;
            case "inflight50": await InFlightAsync(queue, options, 50); break;
            case "inflight1000": await InFlightAsync(queue, options, 1000); break;
            case "bulk":
                // No options where none are needed: they are made anew for each job.
                // The library sends them in calls of 1,000, one after the other.
                await queue.EnqueueManyAsync(Enumerable.Range(1, options.Count - 1).Select(id => CountJob.New(id)), ChosenBy(options));
                break;
            case "rate": await AtRateAsync(queue, options, first); break;
            default: throw new ArgumentException($"unknown mode {options.Mode}.");
        }

        Conversation.Say(new JsonObject
        {
            ["jobs"] = options.Count,
            ["first"] = first,
            ["last"] = Clock.Now,
            ["allocatedPerJob"] = (double)(GC.GetTotalAllocatedBytes() - allocated) / options.Count,
            ["collections"] = new JsonArray([.. Enumerable.Range(0, 3).Select(generation => (JsonNode)GC.CollectionCount(generation))]),
            ["cpuMicrosPerJob"] = (Environment.CpuUsage.TotalTime - cpu).TotalMicroseconds / options.Count,
        });
    }

    /// <summary>So many callers, each of which waits for its reply before it enqueues another.</summary>
    private static Task InFlightAsync(WorkQueue queue, BenchOptions options, int callers)
    {
        var next = 0;
        var chosen = ChosenBy(options);
        async Task CallAsync()
        {
            while (Interlocked.Increment(ref next) is var id && id < options.Count)
            {
                await queue.EnqueueAsync(CountJob.New(id), chosen);
            }
        }

        return Task.WhenAll(Enumerable.Range(0, callers).Select(_ => Task.Run(CallAsync)));
    }

    private static Action<EnqueueOptions>? ChosenBy(BenchOptions options) =>
        options.Durability == Durability.Server ? null : enqueue => enqueue.Durability(options.Durability);

    private static async Task AtRateAsync(WorkQueue queue, BenchOptions options, long first)
    {
        for (var id = 1; id < options.Count; id++)
        {
            var wait = first + (long)(id * 1e6 / options.Rate) - Clock.Now;
            if (wait > 0)
            {
                await Task.Delay(TimeSpan.FromMicroseconds(wait));
            }

            await queue.EnqueueAsync(CountJob.New(id));
        }
    }
}
