using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Chaos.Accounting;
using Slipway.Queue;
using Slipway.Resp;

namespace Slipway.Chaos.Roles;

/// <summary><c>Slipway.Chaos producer SETTINGS</c>: enqueues until its total, or SIGTERM, and exits with 0.</summary>
internal sealed class ProducerRole(ProducerSettings settings, RecordFile<OfferRecord> log, IQueueBroker broker)
{
    /// <summary>Three per block of jobs: enough for a million blocks.</summary>
    private const int MostOffers = 3_000_000;

    /// <summary>What was not sent so long after its time is not sent: after an outage the load is what it was before.</summary>
    private static readonly TimeSpan MostDebt = TimeSpan.FromMilliseconds(50);

    private readonly Lock gate = new();
    private readonly long started = Moments.Now;
    private double forgone;
    private long sequence;

    public static RecordFile<OfferRecord> CreateLog(string path) => RecordFile<OfferRecord>.Create(path, MostOffers);

    public static async Task<int> RunAsync(string json)
    {
        ProducerSettings settings = JsonSerializer.Deserialize(json, RoleJson.Default.ProducerSettings)!;
        using var stop = new CancellationTokenSource();
        using PosixSignalRegistration term = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal =>
        {
            signal.Cancel = true;
            stop.Cancel();
        });
        await using IRespClient redis = await RespClient.ConnectAsync(
            new RespOptions { Url = settings.Url, CommandTimeout = TimeSpan.FromMilliseconds(settings.CommandTimeoutMilliseconds) }, NullLogger.Instance, CancellationToken.None);
        await using RedisBroker broker = await RedisBroker.OpenAsync(redis, settings.Queue, new BrokerOptions(), CancellationToken.None);
        using RecordFile<OfferRecord> log = RecordFile<OfferRecord>.Open(settings.Log);
        await new ProducerRole(settings, log, broker).ProduceAsync(stop.Token);
        return 0;
    }

    /// <summary>Until the total is there, or the token is cancelled; then it waits for the answers that are due.</summary>
    public async Task ProduceAsync(CancellationToken stopping)
    {
        log.IsReady = true;
        await Task.WhenAll(Enumerable.Range(0, settings.Lanes).Select(_ => Task.Run(() => LaneAsync(stopping), CancellationToken.None)));
    }

    private async Task LaneAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested && Next() is var (first, count, wait))
        {
            if (count == 0)
            {
                await Task.Delay(wait, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                continue;
            }

            await SendAsync(first, count, stopping);
        }
    }

    private async Task SendAsync(ulong first, int count, CancellationToken stopping)
    {
        var jobs = new JobDraft[count];
        for (int i = 0; i < count; i++)
        {
            ulong id = first + (ulong)i;
            jobs[i] = new JobDraft
            {
                Type = WorkerHost.JobType,
                Payload = new JobWork(id, settings.Kind, settings.Microseconds).Write(settings.PayloadBytes),
                Priority = (JobPriority)(settings.Level >= 0 ? settings.Level : (int)(id % 8)),
            };
        }

        Note(OfferKind.Offered, first, count);
        while (true)
        {
            try
            {
                // Not cut off by a stop: the answer is what is accounted for.
                await broker.EnqueueAsync(jobs, Durability.Server, CancellationToken.None);
                Note(OfferKind.Acknowledged, first, count);
                return;
            }
            catch (QueueFullException) when (!stopping.IsCancellationRequested)
            {
                // Nothing of it was enqueued: the same ids again.
                await Task.Delay(20, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (RespConnectionException failure)
            {
                if (!failure.InDoubt)
                {
                    Note(OfferKind.Refused, first, count);
                }

                await Task.Delay(50, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                return;
            }
            catch (Exception e) when (e is RespServerException or QueueFullException)
            {
                Note(OfferKind.Refused, first, count);
                await Task.Delay(50, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                return;
            }
        }
    }

    /// <summary>The next ids, none and how long to wait, or null when all are there.</summary>
    private (ulong First, int Count, TimeSpan Wait)? Next()
    {
        lock (gate)
        {
            long left = settings.Total > 0 ? settings.Total - sequence : long.MaxValue;
            if (left == 0)
            {
                return null;
            }

            int count = (int)Math.Min(settings.Block, left);
            if (settings.Rate > 0)
            {
                double due = (Moments.Seconds(Moments.Now - started) * settings.Rate) - forgone - sequence;
                double most = Math.Max(settings.Block, MostDebt.TotalSeconds * settings.Rate) * 2;
                if (due > most)
                {
                    forgone += due - most;
                    due = most;
                }

                if (due < count)
                {
                    return (0, 0, TimeSpan.FromSeconds(Math.Max(0.001, (count - due) / settings.Rate)));
                }
            }

            ulong first = JobNumbers.Of(settings.Number, sequence);
            sequence += count;
            return (first, count, default);
        }
    }

    private void Note(OfferKind kind, ulong first, int count)
    {
        OfferRecords.Write(ref log.Append(), kind, first, count);
    }
}
