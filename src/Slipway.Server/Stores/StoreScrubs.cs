using System.Diagnostics.Metrics;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Slipway.Api;
using Slipway.Content;
using Slipway.Tenancy;

namespace Slipway.Server.Stores;

/// <summary>How stores are scrubbed by the server itself.</summary>
/// <param name="Every">How long after the start of one scrub the next begins; zero: only when asked for.</param>
/// <param name="BytesPerSecond">The most it reads.</param>
internal sealed record ScrubOptions(TimeSpan Every, long BytesPerSecond);

/// <summary>
/// Every scrub of every store: at most one a store, those the server begins by itself one after the other.
/// <code>
///   each minute ─► cut short by a restart? go on                              ┐
///               ─► content.scrubEvery since the last began? begin a slow one   ┼─► ScrubRun ─► SegmentStore.CheckAsync, quarantining
///   slipway store scrub ─► stop the slow one, if any, and begin               ┘       └─► note in the store's folder
/// </code>
/// </summary>
internal sealed partial class StoreScrubs(ContentStores stores, ScrubOptions options, TimeProvider time, ILogger<StoreScrubs> logger) : IHostedService, IDisposable
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromMinutes(1);

    /// <summary>After a failure, which is the disk's, not the data's.</summary>
    private static readonly TimeSpan AgainAfter = TimeSpan.FromDays(1);

    private readonly Lock gate = new();
    private readonly Dictionary<Guid, ScrubRun> runs = [];
    private readonly CancellationTokenSource stopping = new();
    private readonly Meter meter = new("Slipway.Stores");
    private Task loop = Task.CompletedTask;

    /// <summary>Cancelled when the server stops: nobody waits for a scrub any longer then.</summary>
    public CancellationToken Stopping => stopping.Token;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        meter.CreateObservableGauge("slipway.stores.scrub.faults", () => Observed(scrub => scrub.Faults), "{fault}", "What the scrub that runs, else the last, has found rotten.");
        meter.CreateObservableGauge(
            "slipway.stores.scrub.age", () => Observed(scrub => scrub.StartedAt is { } at ? (long)(time.GetUtcNow() - at).TotalSeconds : -1), "s", "Time since the last scrub began; -1: there was none.");
        loop = RunAsync();
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await stopping.CancelAsync();
        await loop;
        ScrubRun[] last;
        lock (gate)
        {
            last = [.. runs.Values];
        }

        await Task.WhenAll(last.Select(run => run.Ended));
    }

    public void Dispose()
    {
        meter.Dispose();
        stopping.Dispose();
    }

    /// <summary>The scrub that runs, else the last, and a task that completes when the one that runs has ended.</summary>
    public (StoreScrub Scrub, Task Ended) Show(OpenedStore store)
    {
        lock (gate)
        {
            return runs.TryGetValue(store.Id, out var run) ? (run.Now, run.Ended) : (ScrubNote.Read(store).Scrub, Task.CompletedTask);
        }
    }

    /// <summary>Begins one that somebody asked for. One that the server began by itself makes way.</summary>
    /// <exception cref="ApiException">409: one that somebody asked for is under way.</exception>
    public async Task<StoreScrub> StartAsync(OpenedStore store, long bytesPerSecond)
    {
        while (true)
        {
            ScrubRun? before;
            lock (gate)
            {
                before = runs.GetValueOrDefault(store.Id) is { Ended.IsCompleted: false } run ? run : null;
                if (before is { Now.Scheduled: false })
                {
                    throw ApiException.Conflict($"The store {store.Name} is being scrubbed since {before.Now.StartedAt:u}.", $"follow it with slipway store scrub {store.Name}, or stop it with --stop");
                }

                if (before is null)
                {
                    return Begin(store, New(store, bytesPerSecond, scheduled: false));
                }
            }

            await before.StopAsync();
        }
    }

    /// <summary>Ends the one that runs, if any, and says how far it came.</summary>
    public async Task<StoreScrub> StopAsync(OpenedStore store)
    {
        ScrubRun? run;
        lock (gate)
        {
            run = runs.GetValueOrDefault(store.Id);
        }

        if (run is not null)
        {
            await run.StopAsync();
        }

        return Show(store).Scrub;
    }

    /// <summary>Looks what is to be done, and begins it.</summary>
    internal void Look()
    {
        lock (gate)
        {
            foreach (var store in stores.Opened)
            {
                var note = ScrubNote.Read(store);
                if (runs.TryGetValue(store.Id, out var run))
                {
                    if (!run.Ended.IsCompleted)
                    {
                        continue;
                    }

                    runs.Remove(store.Id);
                }

                if (note.Scrub.State == ScrubState.Running)
                {
                    Begin(store, note);
                }
                else if (IsDue(store, note.Scrub) && !runs.Values.Any(other => other is { Now.Scheduled: true, Ended.IsCompleted: false }))
                {
                    Begin(store, New(store, options.BytesPerSecond, scheduled: true));
                }
            }
        }
    }

    private IEnumerable<Measurement<long>> Observed(Func<StoreScrub, long> of) =>
        stores.Opened.Select(store => new Measurement<long>(of(Show(store).Scrub), new KeyValuePair<string, object?>("store", store.Name)));

    // A store that was never scrubbed is as old as its folder says.
    private bool IsDue(OpenedStore store, StoreScrub last) =>
        options.Every > TimeSpan.Zero
        && time.GetUtcNow() >= (last.StartedAt ?? new DateTimeOffset(File.GetLastWriteTimeUtc(Path.Combine(store.Path, "store"))))
            + (last.State == ScrubState.Failed && options.Every > AgainAfter ? AgainAfter : options.Every);

    private ScrubNote New(OpenedStore store, long bytesPerSecond, bool scheduled) => new(new StoreScrub(
        store.Name, ScrubState.Running, scheduled, time.GetUtcNow(), null, bytesPerSecond, store.Segments.Spaces.Sum(space => space.Usage.StoredBytes)));

    private StoreScrub Begin(OpenedStore store, ScrubNote note)
    {
        stopping.Token.ThrowIfCancellationRequested();
        var run = new ScrubRun(store, note, time, Tell, problem => Log.Problem(logger, store.Name, problem));
        runs[store.Id] = run;
        run.Begin(stopping.Token);
        Log.Began(logger, store.Name, note.Scrub.BytesTotal);
        return run.Now;
    }

    private void Tell(StoreScrub scrub)
    {
        if (scrub.Error is { } error)
        {
            Log.Problem(logger, scrub.Store, $"The scrub failed: {error}");
        }
        else if (scrub.Faults > 0)
        {
            Log.Rotten(logger, scrub.Store, scrub.Faults, scrub.BytesRead);
        }
        else
        {
            Log.Sound(logger, scrub.Store, scrub.State, scrub.BytesRead);
        }
    }

    private async Task RunAsync()
    {
        using var timer = new PeriodicTimer(LookEvery, time);
        try
        {
            do
            {
                try
                {
                    Look();
                }
                catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
                {
                    Log.NotLooked(logger, exception.Message);
                }
            }
            while (await timer.WaitForNextTickAsync(stopping.Token));
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Information, "Store {Store} is being scrubbed: {Bytes} bytes.")]
        public static partial void Began(ILogger logger, string store, long bytes);

        [LoggerMessage(LogLevel.Information, "The scrub of store {Store} is {State}; all of {Bytes} bytes was sound.")]
        public static partial void Sound(ILogger logger, string store, string state, long bytes);

        [LoggerMessage(LogLevel.Error, "The scrub of store {Store} found {Faults} rotten blobs or files in {Bytes} bytes: the disk may be failing. What rotted is quarantined and healed by the next upload.")]
        public static partial void Rotten(ILogger logger, string store, long faults, long bytes);

        [LoggerMessage(LogLevel.Warning, "Store {Store}: {Problem}")]
        public static partial void Problem(ILogger logger, string store, string problem);

        [LoggerMessage(LogLevel.Warning, "Whether a store is to be scrubbed could not be looked up: {Reason}")]
        public static partial void NotLooked(ILogger logger, string reason);
    }
}
