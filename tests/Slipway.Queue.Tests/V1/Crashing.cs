using Slipway.Queue.V1;
using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Resp;
using Slipway.Testing;

namespace Slipway.QueueV1.Tests;

/// <summary>Redis with a synced append-only file, killed and frozen under load.</summary>
public sealed class Crashing : QueueTest
{
    protected override bool Durable => true;

    [Fact]
    public async Task No_acknowledged_job_is_lost_when_redis_is_killed()
    {
        const int Kills = 3;
        var runs = new ConcurrentDictionary<string, int>();
        var acknowledged = new ConcurrentBag<string>();
        await using QueueWorker worker = await StartAsync(runs);
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(Token);
        Task[] producers = [.. Enumerable.Range(0, 4).Select(producer => ProduceAsync(producer, acknowledged, enough.Token))];

        for (int kill = 0; kill < Kills; kill++)
        {
            int before = acknowledged.Count;
            await Eventually.TrueAsync(() => acknowledged.Count > before + 100 && !runs.IsEmpty, Token);
            await Server.KillAsync(Token);
            await Server.RestartAsync(Token);
        }

        int last = acknowledged.Count;
        await Eventually.TrueAsync(() => acknowledged.Count > last, Token);
        await enough.CancelAsync();
        await Task.WhenAll(producers);

        await Eventually.TrueAsync(
            async token => await Queue.StatsAsync(token) is { Ready: 0, Leased: 0, Delayed: 0 }, Token);
        acknowledged.Except(runs.Keys).ShouldBeEmpty();
        (await Queue.StatsAsync(Token)).Dead.ShouldBe(0);
        await ShouldBeConsistentAsync();
    }

    [Fact]
    public async Task A_worker_goes_on_after_redis_was_frozen_longer_than_its_commands_wait()
    {
        RespConnection impatient = await RespConnection.ConnectAsync(
            new RespOptions { Url = Server.Url, CommandTimeout = TimeSpan.FromMilliseconds(100) }, NullLogger.Instance, Token);
        await using var ends = impatient;
        await using var queue = new WorkQueue(impatient, "test", Defaults, TimeProvider.System);
        var runs = new ConcurrentDictionary<string, int>();
        await using QueueWorker worker = await StartAsync(runs, queue);
        await EnqueueAsync("before");
        await Eventually.TrueAsync(() => runs.ContainsKey("before"), Token);

        Server.Freeze();
        await Eventually.TrueAsync(() => !impatient.IsConnected, Token);
        Server.Thaw();
        await EnqueueAsync("after");

        await Eventually.TrueAsync(() => runs.ContainsKey("after"), Token);
    }

    private async Task ProduceAsync(int producer, ConcurrentBag<string> acknowledged, CancellationToken enough)
    {
        for (int i = 0; !enough.IsCancellationRequested; i++)
        {
            string id = $"{producer}-{i}";
            while (true)
            {
                try
                {
                    await EnqueueAsync(id);
                    acknowledged.Add(id);
                    break;
                }
                catch (RespException)
                {
                    // In doubt, and idempotent by its id: again.
                }
            }
        }
    }

    private async Task<QueueWorker> StartAsync(ConcurrentDictionary<string, int> runs, WorkQueue? queue = null)
    {
        var worker = new QueueWorker(
            queue ?? Queue,
            new Dictionary<string, Func<Job, CancellationToken, Task>>
            {
                ["work"] = (job, _) =>
                {
                    runs.AddOrUpdate(job.Id, 1, (_, count) => count + 1);
                    return Task.CompletedTask;
                },
            },
            new QueueWorkerOptions { Visibility = TimeSpan.FromSeconds(1), ReapInterval = TimeSpan.FromMilliseconds(20) },
            TimeProvider.System,
            NullLogger<QueueWorker>.Instance);
        await worker.StartAsync(Token);
        return worker;
    }
}
