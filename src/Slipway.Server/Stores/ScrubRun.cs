using Slipway.Api;
using Slipway.Content;

namespace Slipway.Server.Stores;

/// <summary>One scrub of one store, from its start to its end.</summary>
internal sealed class ScrubRun
{
    /// <summary>How often it is noted how far it has come: what a kill repeats.</summary>
    private static readonly TimeSpan NoteEvery = TimeSpan.FromMinutes(1);

    private readonly OpenedStore store;
    private readonly TimeProvider time;
    private readonly CancellationTokenSource stop = new();
    private readonly ScrubNote start;
    private readonly Action<StoreScrub> ended;
    private readonly Action<string> report;
    private volatile ScrubNote note;
    // What the next server goes on from: a segment that was read in part is read again, so it does not count yet.
    private StoreScrub settled;
    private long notedAt;

    /// <param name="start">Where it begins, with what an earlier part of it has found.</param>
    /// <param name="ended">Told how it ended; not when the server stops.</param>
    public ScrubRun(OpenedStore store, ScrubNote start, TimeProvider time, Action<StoreScrub> ended, Action<string> report)
    {
        this.store = store;
        this.start = start;
        this.time = time;
        this.ended = ended;
        this.report = report;
        note = start;
        settled = start.Scrub;
    }

    public StoreScrub Now => note.Scrub;

    /// <summary>Completes when it has ended, however.</summary>
    public Task Ended { get; private set; } = Task.CompletedTask;

    /// <param name="serverStops">Ends it so that the next server goes on with it.</param>
    public void Begin(CancellationToken serverStops)
    {
        notedAt = time.GetTimestamp();
        Write();
        Ended = Task.Run(() => RunAsync(serverStops), CancellationToken.None);
    }

    /// <summary>Ends it for good.</summary>
    public async Task StopAsync()
    {
        await stop.CancelAsync();
        await Ended;
    }

    private async Task RunAsync(CancellationToken serverStops)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop.Token, serverStops);
        try
        {
            var options = new StoreCheckOptions(Deep: true, Quarantine: true, start.Scrub.BytesPerSecond) { After = start.Place };
            Take(await store.Segments.CheckAsync(options, Take, either.Token));
            End(ScrubState.Done, null);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            End(ScrubState.Stopped, null);
        }
        catch (OperationCanceledException)
        {
            Write();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ContentStoreException or ObjectDisposedException)
        {
            End(ScrubState.Failed, exception.Message);
        }
    }

    private void Take(StoreReport found)
    {
        var before = start.Scrub;
        var place = note.Place;
        note = new ScrubNote(
            before with
            {
                BytesRead = before.BytesRead + found.BytesRead,
                BytesElsewhere = before.BytesElsewhere + found.BytesElsewhere,
                Blobs = before.Blobs + found.Blobs,
                Faults = before.Faults + found.Faults,
                Findings = [.. (before.Findings ?? []).Concat(found.Findings).Take(100)],
            },
            found.Reached?.Space, found.Reached?.Segment ?? 0);
        if (note.Place != place)
        {
            settled = note.Scrub;
        }

        if (time.GetElapsedTime(notedAt) >= NoteEvery)
        {
            notedAt = time.GetTimestamp();
            Write();
        }
    }

    private void End(string state, string? error)
    {
        note = new ScrubNote(note.Scrub with { State = state, EndedAt = time.GetUtcNow(), Error = error });
        Write();
        ended(note.Scrub);
    }

    private void Write()
    {
        try
        {
            var scrub = note.Scrub;
            var written = scrub.State == ScrubState.Running
                ? scrub with { BytesRead = settled.BytesRead, BytesElsewhere = settled.BytesElsewhere, Blobs = settled.Blobs }
                : scrub;
            (note with { Scrub = written }).Write(store);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // A full disk must not keep a store from being checked.
            report($"How far its scrub has come could not be noted: {exception.Message}");
        }
    }
}
