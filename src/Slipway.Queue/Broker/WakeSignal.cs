namespace Slipway.Queue;

/// <summary>Wakes everybody who waits. Take <see cref="Next"/> before looking at the queue: then no wake-up falls in between.</summary>
internal sealed class WakeSignal
{
    private volatile TaskCompletionSource current = New();

    public Task Next => current.Task;

    public void Pulse() => Interlocked.Exchange(ref current, New()).TrySetResult();

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
