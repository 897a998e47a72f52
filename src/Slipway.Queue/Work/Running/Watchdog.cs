using Microsoft.Extensions.Logging;

namespace Slipway.Queue.Work;

/// <summary>
/// Looks at all slots, a few times a second: runs over their time are cancelled, handlers that do not return are replaced, and
/// unstarted jobs behind slow ones go back. One timer, however many jobs.
/// </summary>
internal sealed partial class Watchdog(Worker worker)
{
    /// <summary>So late a timeout may be.</summary>
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(20);

    /// <summary>No slot got free for so long: what waits here could be at work elsewhere.</summary>
    private static readonly TimeSpan StallAfter = TimeSpan.FromMilliseconds(100);

    private long taken;
    private long movedAt = worker.Time.GetTimestamp();

    public async Task RunAsync(CancellationToken stopped)
    {
        using var ticks = new PeriodicTimer(Tick, worker.Time);
        try
        {
            while (await ticks.WaitForNextTickAsync(stopped).ConfigureAwait(false))
            {
                Look(worker.Time.GetTimestamp());
            }
        }
        catch (OperationCanceledException) when (stopped.IsCancellationRequested)
        {
        }
    }

    private void Look(long now)
    {
        foreach (Slot slot in worker.Slots)
        {
            if (slot.Current is not { } run)
            {
                continue;
            }

            if (run.IsRunning && now >= run.TimesOutAt)
            {
                run.Cancel(CancelCause.Timeout, now);
            }
            else if (run.IsCancelling && run.Cause is not CancelCause.Stop && worker.Time.GetElapsedTime(run.CancelledAt, now) >= worker.Options.CancelGrace && run.Abandon())
            {
                Log.Abandoned(worker.Logger, worker.Broker.Queue, run.Job.Type, run.Job.Id, run.Cause);
                worker.Replace(slot, run);
            }
        }

        if (worker.Ready.Taken != taken || worker.Ready.Busy == 0)
        {
            (taken, movedAt) = (worker.Ready.Taken, now);
            worker.Stalled = false;
        }
        else if (worker.Ready.Queued > 0)
        {
            // Slots that block their threads do not say that they wait: there may be free ones.
            worker.Ready.WakeOne();
            if (worker.Ready.Idle == 0 && worker.Time.GetElapsedTime(movedAt, now) >= StallAfter)
            {
                worker.Stalled = true;
                worker.ReleaseUnstarted();
            }
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Error, "queue {Queue}: the handler of {Type} {Id} did not return after it was cancelled ({Cause}); its job was ended without it, and it still holds a thread or a wait")]
        public static partial void Abandoned(ILogger logger, string queue, string type, Guid id, CancelCause cause);
    }
}
