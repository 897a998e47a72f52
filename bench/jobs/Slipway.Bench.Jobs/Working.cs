using System.Text.Json.Nodes;

namespace Slipway.Bench.Jobs;

/// <summary>The worker: counts jobs until stdin is closed.</summary>
internal static class Working
{
    public static async Task RunAsync(BenchOptions options)
    {
        var delays = options.Latency ? new long[options.Count] : [];
        var slow = options.Variant == "5ms";
        var (done, sum, first, last, busy) = (0L, 0L, 0L, 0L, 0L);
        await using var queue = await options.ConnectAsync();
        queue.Handle<CountJob>((job, _) =>
        {
            var (started, id) = (Clock.Now, job.Args.Id);
            if (slow)
            {
                // Blocks, because a timer of .NET is late by up to a millisecond: it is the queue that is measured.
                Thread.Sleep(5);
                Interlocked.Add(ref busy, Clock.Now - started);
            }

            if (first == 0)
            {
                Interlocked.CompareExchange(ref first, started, 0);
            }

            Volatile.Write(ref last, started);
            if (delays.Length > 0)
            {
                delays[id] = started - job.Args.At;
            }

            Interlocked.Add(ref sum, id);
            // Last: the runner stops when all are counted.
            Interlocked.Increment(ref done);
            return Task.CompletedTask;
        });
        await Conversation.ReadyAsync();
        var (allocated, cpu) = (GC.GetTotalAllocatedBytes(), Environment.CpuUsage.TotalTime);
        await queue.StartAsync(CancellationToken.None);
        using (Conversation.Repeat(() => new JsonObject { ["done"] = Interlocked.Read(ref done) }))
        {
            await Conversation.UntilEndAsync();
        }

        await queue.StopAsync();
        var result = new JsonObject
        {
            ["done"] = done,
            ["sum"] = sum,
            ["first"] = first,
            ["last"] = last,
            ["busy"] = busy,
            ["allocatedPerJob"] = (double)(GC.GetTotalAllocatedBytes() - allocated) / Math.Max(1, done),
            ["collections"] = new JsonArray([.. Enumerable.Range(0, 3).Select(generation => (JsonNode)GC.CollectionCount(generation))]),
            ["cpuMicrosPerJob"] = (Environment.CpuUsage.TotalTime - cpu).TotalMicroseconds / Math.Max(1, done),
        };
        if (options.Latency)
        {
            result["delays"] = new JsonArray([.. delays.Select(delay => (JsonNode)delay)]);
        }

        Conversation.Say(result);
    }
}
