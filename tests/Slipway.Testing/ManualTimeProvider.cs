namespace Slipway.Testing;

/// <summary>
/// A clock that stands still until a test moves it. <see cref="Advance"/> fires every timer that falls due, in order of due time, each
/// with the clock set to its own due time. Works under <c>Task.Delay(…, time)</c>, <c>PeriodicTimer(…, time)</c> and
/// <c>CancellationTokenSource(…, time)</c>.
/// </summary>
/// <remarks>
/// What a fired timer wakes runs on other threads: after <see cref="Advance"/> await the effect. Before it, make sure the code under
/// test has set its timer: <see cref="WaitForTimersAsync"/>.
/// </remarks>
public sealed class ManualTimeProvider : TimeProvider
{
    private readonly Lock gate = new();
    private readonly List<ManualTimer> timers = [];
    private readonly List<(int Count, TaskCompletionSource Reached)> waiters = [];
    private DateTimeOffset now;
    private long ticks;
    private long sequence;

    public ManualTimeProvider()
        : this(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero))
    {
    }

    public ManualTimeProvider(DateTimeOffset start) => now = start.ToUniversalTime();

    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>Timers now set.</summary>
    public int TimerCount
    {
        get
        {
            lock (gate)
            {
                return timers.Count;
            }
        }
    }

    public override DateTimeOffset GetUtcNow()
    {
        lock (gate)
        {
            return now;
        }
    }

    public override long GetTimestamp()
    {
        lock (gate)
        {
            return ticks;
        }
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Moves the clock and fires what falls due, on the calling thread.</summary>
    public void Advance(TimeSpan by)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(by, TimeSpan.Zero);
        long target;
        lock (gate)
        {
            target = ticks + by.Ticks;
        }

        while (NextDue(target) is { } timer)
        {
            timer.Fire();
        }

        lock (gate)
        {
            MoveTo(target);
        }
    }

    /// <summary>
    /// Lets time pass as on a machine that was suspended: a timer that fell due meanwhile fires once, afterwards, on the calling thread.
    /// For days: a timer of one second would fire eight million times in 90 of them.
    /// </summary>
    public void Sleep(TimeSpan by)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(by, TimeSpan.Zero);
        List<ManualTimer> due;
        lock (gate)
        {
            MoveTo(ticks + by.Ticks);
            due = [.. timers.Where(timer => timer.Due <= ticks).OrderBy(timer => timer.Due).ThenBy(timer => timer.Sequence)];
            foreach (var timer in due)
            {
                if (timer.Period > 0)
                {
                    timer.Due += ((ticks - timer.Due) / timer.Period + 1) * timer.Period;
                    timer.Sequence = ++sequence;
                }
                else
                {
                    timers.Remove(timer);
                }
            }
        }

        due.ForEach(timer => timer.Fire());
    }

    /// <summary>Sets the wall clock without letting time pass, as an operator or NTP would: no timer fires.</summary>
    public void JumpTo(DateTimeOffset now)
    {
        lock (gate)
        {
            this.now = now.ToUniversalTime();
        }
    }

    /// <summary>Completes when at least <paramref name="count"/> timers are set: the code under test has gone to sleep.</summary>
    public Task WaitForTimersAsync(int count, CancellationToken cancellationToken)
    {
        lock (gate)
        {
            if (timers.Count >= count)
            {
                return Task.CompletedTask;
            }

            var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            waiters.Add((count, reached));
            // The deadline is real time: a timer that never comes is a failed test, not a hung one.
            return reached.Task.WaitAsync(Eventually.DefaultDeadline, cancellationToken);
        }
    }

    private ManualTimer? NextDue(long target)
    {
        lock (gate)
        {
            var next = timers.Where(timer => timer.Due <= target).OrderBy(timer => timer.Due).ThenBy(timer => timer.Sequence).FirstOrDefault();
            if (next is null)
            {
                return null;
            }

            MoveTo(next.Due);
            if (next.Period > 0)
            {
                next.Due += next.Period;
                next.Sequence = ++sequence;
            }
            else
            {
                timers.Remove(next);
            }

            return next;
        }
    }

    private void MoveTo(long ticks)
    {
        // A callback may itself have advanced the clock further.
        if (ticks > this.ticks)
        {
            now += TimeSpan.FromTicks(ticks - this.ticks);
            this.ticks = ticks;
        }
    }

    private sealed class ManualTimer(ManualTimeProvider clock, TimerCallback callback, object? state) : ITimer
    {
        private bool disposed;

        public long Due { get; set; }

        public long Period { get; private set; }

        public long Sequence { get; set; }

        public void Fire() => callback(state);

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            bool fireNow;
            lock (clock.gate)
            {
                if (disposed)
                {
                    return false;
                }

                clock.timers.Remove(this);
                if (dueTime == Timeout.InfiniteTimeSpan)
                {
                    return true;
                }

                Period = period > TimeSpan.Zero ? period.Ticks : 0;
                // A timer of zero is due at once and does not wait for somebody to move the clock.
                fireNow = dueTime <= TimeSpan.Zero;
                Due = clock.ticks + (fireNow ? Period : dueTime.Ticks);
                if (!fireNow || Period > 0)
                {
                    Sequence = ++clock.sequence;
                    clock.timers.Add(this);
                    foreach (var waiter in clock.waiters.Where(waiter => waiter.Count <= clock.timers.Count).ToList())
                    {
                        clock.waiters.Remove(waiter);
                        waiter.Reached.TrySetResult();
                    }
                }
            }

            if (fireNow)
            {
                ThreadPool.QueueUserWorkItem(static timer => timer.Fire(), this, preferLocal: false);
            }

            return true;
        }

        public void Dispose()
        {
            lock (clock.gate)
            {
                disposed = true;
                clock.timers.Remove(this);
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
