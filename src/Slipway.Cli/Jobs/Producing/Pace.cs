namespace Slipway.Cli.Jobs.Producing;

/// <summary>
/// A rate, kept by waiting for the moment at which the next job is due: no polling, and a late wake-up is made up for by the next
/// wait, so the average holds. A quiet time is not saved up.
/// </summary>
internal sealed class Pace(double perSecond, TimeProvider time)
{
    private readonly long started = time.GetTimestamp();
    private TimeSpan due;

    /// <summary>Jobs that may go at once: a twentieth of a second's worth, at least one. Bursts stay small, and high rates need few calls.</summary>
    public int Burst { get; } = (int)Math.Clamp(perSecond / 20, 1, BulkEnqueue.BlockJobs);

    /// <summary>Waits until <paramref name="count"/> further jobs may go.</summary>
    public async Task WaitAsync(int count, CancellationToken cancellationToken)
    {
        var now = time.GetElapsedTime(started);
        // Behind by less than a burst is a late wake-up; by more, a slow server: then the past is forgotten.
        var late = TimeSpan.FromSeconds(Burst / perSecond);
        due = due < now - late ? now : due;
        if (due > now)
        {
            await Task.Delay(due - now, time, cancellationToken);
        }

        due += TimeSpan.FromSeconds(count / perSecond);
    }
}
