using Slipway.Resp;

namespace Slipway.Queue;

/// <summary>
/// A rate that any number of processes share, by the clock of Redis: one call reserves the caller's moment, then it sleeps exactly
/// until that, without asking again. Smooths bursts; counts cost; first come, first served.
/// </summary>
/// <remarks>For jobs prefer the limits of their queue (<see cref="QueueSettings.Types"/>): those are kept before a job is handed out.</remarks>
public sealed class SharedRateLimiter
{
    private readonly IRespClient redis;
    private readonly TimeProvider time;
    private readonly RespArgument key;
    private readonly double unit;
    private readonly double saved;

    /// <param name="redis">Stays the caller's.</param>
    /// <param name="name">All who name it share it; they should agree on rate and burst.</param>
    /// <param name="perSecond">Cost per second, above zero.</param>
    /// <param name="burst">Cost that may go at once after a quiet time, at least 1.</param>
    /// <param name="time">For sleeping.</param>
    public SharedRateLimiter(IRespClient redis, string name, double perSecond, double burst, TimeProvider time)
    {
        RedisBroker.CheckName(name, 200, nameof(name));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(perSecond);
        ArgumentOutOfRangeException.ThrowIfLessThan(burst, 1);
        this.redis = redis;
        this.time = time;
        key = $"{{slipway:limiter:{name}}}";
        unit = 1_000_000 / perSecond;
        saved = (burst - 1) * unit;
    }

    /// <summary>Waits for the caller's turn. False, at once and without a reservation: it would come later than <paramref name="longest"/>.</summary>
    /// <remarks>
    /// A cancelled wait keeps its reservation: the place stays empty. Up to 1 ms of jitter keeps callers of one moment apart.
    /// </remarks>
    public async ValueTask<bool> WaitAsync(int cost, TimeSpan longest, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(cost, 1);
        RespArgument[] arguments = [Text(unit), Text(saved), cost, (long)Math.Min(longest.TotalMicroseconds, long.MaxValue / 2)];
        RespValue answer = await redis.EvaluateAsync(
            QueueScripts.Limiter, new[] { key }, arguments, idempotent: false, keepsReply: false, cancellationToken).ConfigureAwait(false);
        long wait = answer.AsInteger();
        if (wait < 0)
        {
            return false;
        }

        if (wait > 0)
        {
            await Task.Delay(TimeSpan.FromMicroseconds(wait + Random.Shared.Next(1000)), time, cancellationToken).ConfigureAwait(false);
        }

        return true;
    }

    private static string Text(double number) => number.ToString("F3", System.Globalization.CultureInfo.InvariantCulture);
}
