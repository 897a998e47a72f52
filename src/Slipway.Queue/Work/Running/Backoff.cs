namespace Slipway.Queue.Work;

/// <summary>The pause after a failed call of the broker: 50 ms doubling to 1 s, each a random 50–100 % of it.</summary>
internal static class Backoff
{
    private const double FirstMilliseconds = 50;
    private const double LongestMilliseconds = 1000;

    public static Task AfterAsync(int attempt, TimeProvider time, CancellationToken cancellationToken) =>
        Task.Delay(After(attempt), time, cancellationToken);

    public static TimeSpan After(int attempt) =>
        TimeSpan.FromMilliseconds(Math.Min(FirstMilliseconds * Math.Pow(2, Math.Min(attempt, 10)), LongestMilliseconds) * (0.5 + (Random.Shared.NextDouble() / 2)));
}
