using System.Diagnostics.Metrics;
using System.Threading.Channels;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;
using Slipway.BuildCache.Cas;
using Slipway.Data;

namespace Slipway.BuildCache.Insight;

/// <summary>
/// Takes note of every call to the build caches, for usage, statistics and the question why there was a miss.
/// </summary>
/// <remarks>
/// <code>
/// call ─ Record ─► bounded channel ─(every 250 ms)─► InsightBatch: added up ─(every second)─► one transaction
///           │ full: dropped and counted                    │ database away: kept, up to its bounds
/// </code>
/// One owner, one loop; stopping writes what is left. A crash loses the last second.
/// </remarks>
internal sealed partial class RequestLog : IRequestLog, IHostedService, IDisposable
{
    /// <summary>
    /// How often the channel is emptied. On a timer and not on a signal: waking a thread for every call would cost more than the call's
    /// own bookkeeping.
    /// </summary>
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);

    private const int WriteEvery = 4;

    private static readonly TimeSpan SweepEvery = TimeSpan.FromHours(1);

    /// <summary>260,000 calls a second, ten times what two cores serve. A record is about 200 bytes, so 13 MB at most.</summary>
    private const int Capacity = 65_536;

    private readonly Channel<RequestRecord> channel = Channel.CreateBounded<RequestRecord>(
        new BoundedChannelOptions(Capacity) { FullMode = BoundedChannelFullMode.Wait, SingleReader = true });

    private readonly Database database;
    private readonly BuildCacheOptions options;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private readonly InsightBatch batch = new();
    private readonly SemaphoreSlim writing = new(1);
    private readonly CancellationTokenSource stopping = new();
    private readonly Meter meter = new("Slipway.BuildCache");
    private readonly Counter<long> calls;
    private readonly Counter<long> bytes;
    private readonly long[] callsByKind = new long[Enum.GetValues<RequestKind>().Length];
    private readonly long[] bytesByKind = new long[Enum.GetValues<RequestKind>().Length];
    private long dropped;
    private long batchDropped;
    private Task loop = Task.CompletedTask;
    private bool isAway;

    public RequestLog(Database database, BuildCacheOptions options, TimeProvider time, ILogger<RequestLog> logger)
    {
        this.database = database;
        this.options = options;
        this.time = time;
        this.logger = logger;
        calls = meter.CreateCounter<long>("slipway.buildcache.calls", "{call}", "Calls to build caches, by what they did.");
        bytes = meter.CreateCounter<long>("slipway.buildcache.transferred", "By", "Bytes of blobs and results, by what the call did.");
        meter.CreateObservableCounter("slipway.buildcache.insight.dropped", () => Dropped, "{call}", "Calls that were not taken note of because there were too many.");
    }

    /// <summary>Calls that were not taken note of.</summary>
    public long Dropped => Interlocked.Read(ref dropped) + Interlocked.Read(ref batchDropped);

    public void Record(in RequestRecord record)
    {
        if (!channel.Writer.TryWrite(record))
        {
            Interlocked.Increment(ref dropped);
        }
    }

    public Task StartAsync(CancellationToken cancellationToken)
    {
        loop = RunAsync();
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await stopping.CancelAsync();
        await loop;
        await TryWriteAsync(CancellationToken.None);
    }

    public void Dispose()
    {
        meter.Dispose();
        writing.Dispose();
        stopping.Dispose();
    }

    /// <summary>Writes all that was recorded before this call, so that an answer made now tells of it.</summary>
    public Task CatchUpAsync(CancellationToken cancellationToken) => TryWriteAsync(cancellationToken);

    private async Task RunAsync()
    {
        using var timer = new PeriodicTimer(Interval, time);
        var swept = time.GetTimestamp();
        try
        {
            for (var round = 1; await timer.WaitForNextTickAsync(stopping.Token); round++)
            {
                if (round % WriteEvery == 0)
                {
                    await TryWriteAsync(stopping.Token);
                }
                else
                {
                    await DrainAsync(stopping.Token);
                }

                if (time.GetElapsedTime(swept) >= SweepEvery)
                {
                    swept = time.GetTimestamp();
                    await TrySweepAsync();
                }
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
    }

    private async Task DrainAsync(CancellationToken cancellationToken)
    {
        await writing.WaitAsync(cancellationToken);
        try
        {
            Drain();
        }
        finally
        {
            writing.Release();
        }
    }

    private void Drain()
    {
        var now = time.GetUtcNow();
        // Not more than were there at the start: a flood must not keep this from writing.
        for (var left = channel.Reader.Count; left > 0 && channel.Reader.TryRead(out var record); left--)
        {
            batch.Add(record, now);
            callsByKind[(int)record.Kind]++;
            bytesByKind[(int)record.Kind] += record.Bytes;
        }

        for (var kind = 0; kind < callsByKind.Length; kind++)
        {
            if (callsByKind[kind] > 0)
            {
                var tag = new KeyValuePair<string, object?>("kind", Names[kind]);
                calls.Add(callsByKind[kind], tag);
                bytes.Add(bytesByKind[kind], tag);
                (callsByKind[kind], bytesByKind[kind]) = (0, 0);
            }
        }
    }

    private static readonly string[] Names = [.. Enum.GetNames<RequestKind>().Select(name =>
        string.Concat(name.Select((character, at) => at > 0 && char.IsAsciiLetterUpper(character) ? $"_{char.ToLowerInvariant(character)}" : $"{char.ToLowerInvariant(character)}")))];

    private async Task TryWriteAsync(CancellationToken cancellationToken)
    {
        await writing.WaitAsync(cancellationToken);
        try
        {
            Drain();
            if (batch.IsEmpty)
            {
                return;
            }

            await using var connection = await database.OpenAsync(cancellationToken);
            await InsightRows.WriteAsync(connection, batch, cancellationToken);
            Interlocked.Add(ref batchDropped, batch.Dropped);
            batch.Clear();
            isAway = false;
        }
        catch (Exception exception) when (exception is NpgsqlException or TimeoutException)
        {
            if (!isAway)
            {
                isAway = true;
                Log.NotWritten(logger, exception.Message);
            }
        }
        finally
        {
            writing.Release();
        }
    }

    private async Task TrySweepAsync()
    {
        try
        {
            await using var connection = await database.OpenAsync(stopping.Token);
            await InsightRows.SweepAsync(connection, time.GetUtcNow(), options.InsightLifetime, stopping.Token);
        }
        catch (Exception exception) when (exception is NpgsqlException or TimeoutException)
        {
            Log.NotSwept(logger, exception.Message);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Warning, "What builds asked of the build caches can't be written just now and is kept in memory, within bounds: {Reason}")]
        public static partial void NotWritten(ILogger logger, string reason);

        [LoggerMessage(LogLevel.Warning, "What builds asked long ago could not be removed; the next round tries again: {Reason}")]
        public static partial void NotSwept(ILogger logger, string reason);
    }
}
