using System.Text.Json.Nodes;

namespace Slipway.Bench.Jobs;

/// <summary>Enqueues and works in one process: finds out how fast that goes, then does it at half the speed, and tells what memory it uses.</summary>
internal static class Soaking
{
    /// <summary>Jobs that are not done yet while the limit is looked for.</summary>
    private const int MostUnfinished = 10_000;

    private static readonly TimeSpan Calibration = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(10);

    public static async Task RunAsync(BenchOptions options)
    {
        var (done, sent) = (0L, 0L);
        await using var queue = await options.ConnectAsync();
        queue.Handle<CountJob>((_, _) =>
        {
            Interlocked.Increment(ref done);
            return Task.CompletedTask;
        });
        await queue.StartAsync(CancellationToken.None);
        async Task SendAsync(int jobs)
        {
            var first = sent;
            sent += jobs;
            await queue.EnqueueManyAsync(Enumerable.Range(0, jobs).Select(id => CountJob.New(first + id)));
        }

        await Conversation.ReadyAsync();
        var (begin, doneBefore, measured) = (Clock.Now, 0L, 0L);
        for (var end = begin + (long)Calibration.TotalMicroseconds; Clock.Now < end;)
        {
            if (measured == 0 && Clock.Now > begin + ((end - begin) / 2))
            {
                // The first half warms up.
                (measured, doneBefore) = (Clock.Now, Interlocked.Read(ref done));
            }

            if (sent - Interlocked.Read(ref done) < MostUnfinished)
            {
                await SendAsync(1000);
            }
            else
            {
                await Task.Delay(1);
            }
        }

        var ceiling = (Interlocked.Read(ref done) - doneBefore) * 1e6 / (Clock.Now - measured);
        var (rate, start, sentBefore, sustained) = (ceiling / 2, Clock.Now, sent, 0.0);
        JsonObject State() => new()
        {
            ["done"] = Interlocked.Read(ref done),
            ["ceiling"] = ceiling,
            ["elapsed"] = (Clock.Now - start) / 1e6,
            ["unfinished"] = sent - Interlocked.Read(ref done),
            ["rss"] = Environment.WorkingSet,
            ["heap"] = GC.GetGCMemoryInfo().HeapSizeBytes,
        };
        using (var timer = new Timer(_ => Conversation.Say(State()), null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1)))
        {
            while ((Clock.Now - start) / 1e6 is var elapsed && elapsed < options.Seconds)
            {
                var due = (int)Math.Min(MostUnfinished, (long)(elapsed * rate) + sentBefore - sent);
                if (due > 0)
                {
                    await SendAsync(due);
                }

                await Task.Delay(Tick);
            }

            sustained = (sent - sentBefore) / ((Clock.Now - start) / 1e6);
        }

        // What is on its way still comes; what does not come in half a minute is lost, and the runner says so.
        for (var patience = Clock.Now + 30_000_000; Interlocked.Read(ref done) < sent && Clock.Now < patience;)
        {
            await Task.Delay(Tick);
        }

        await queue.StopAsync();
        var last = State();
        last["rate"] = rate;
        last["sustained"] = sustained;
        Conversation.Say(last);
    }
}
