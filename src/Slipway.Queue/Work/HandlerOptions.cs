using Slipway.Queue.Work;

namespace Slipway.Queue;

/// <summary>How jobs of one type are run.</summary>
public sealed class HandlerOptions
{
    private readonly List<RetryRule> rules = [];
    private RetryPolicy? policy;
    private TimeSpan? timeout;
    private int? concurrency;

    internal TimeSpan? TimeoutValue => timeout;

    internal int? ConcurrencyValue => concurrency;

    internal RetryRules Rules => new(policy, [.. rules]);

    /// <summary>So many more runs after a failed first one. Without any call of this, the queue's own policy decides (<see cref="QueueSettings.Retry"/>).</summary>
    /// <param name="first">The first pause; doubles each time, with jitter. 1 s.</param>
    /// <param name="max">The longest pause. 10 min.</param>
    public HandlerOptions Retries(int retries, Duration? first = null, Duration? max = null)
    {
        policy = Policy(retries, first, max);
        return this;
    }

    /// <summary>A policy of its own for one class of errors (and those derived from it); the first that fits is used.</summary>
    public HandlerOptions RetryOn<TException>(int retries, Duration? first = null, Duration? max = null)
        where TException : Exception
    {
        rules.Add(new RetryRule(typeof(TException), Policy(retries, first, max)));
        return this;
    }

    /// <summary>Errors of this class (and those derived from it) are for good: a dead letter at once.</summary>
    public HandlerOptions GiveUpOn<TException>()
        where TException : Exception
    {
        rules.Add(new RetryRule(typeof(TException), null));
        return this;
    }

    /// <summary>A longer run is cancelled and counts as failed (reason <c>timeout</c>). A job's own timeout goes first.</summary>
    public HandlerOptions Timeout(Duration duration)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(duration.Value, TimeSpan.Zero, nameof(duration));
        timeout = duration;
        return this;
    }

    /// <summary>Jobs of this type at work at once in this process. Over all workers: <see cref="TypeLimits.Concurrency"/>.</summary>
    public HandlerOptions Concurrency(int jobs)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(jobs, 1);
        concurrency = jobs;
        return this;
    }

    private static RetryPolicy Policy(int retries, Duration? first, Duration? max)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(retries);
        var standard = new RetryPolicy();
        return new RetryPolicy
        {
            MaxAttempts = retries + 1,
            FirstDelay = first?.Value ?? standard.FirstDelay,
            MaxDelay = max?.Value ?? standard.MaxDelay,
        };
    }
}
