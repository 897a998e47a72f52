using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Slipway.Testing;

/// <summary>
/// Waits for real state outside this process, or behind somebody else's thread, until it is as expected or a deadline passes.
/// The only place in the tests that lets time pass; prefer a signal or <see cref="ManualTimeProvider"/> wherever one exists.
/// </summary>
public static class Eventually
{
    /// <summary>Long enough for a loaded two-core machine; a passing test never waits for it.</summary>
    public static readonly TimeSpan DefaultDeadline = TimeSpan.FromSeconds(20);

    private static readonly TimeSpan PollEvery = TimeSpan.FromMilliseconds(5);

    public static Task TrueAsync(
        Func<bool> condition, CancellationToken cancellationToken, TimeSpan? within = null, [CallerArgumentExpression(nameof(condition))] string what = "") =>
        PollAsync<object>(_ => Task.FromResult(condition() ? Done : null), within, what, cancellationToken);

    public static Task TrueAsync(
        Func<CancellationToken, Task<bool>> condition, CancellationToken cancellationToken, TimeSpan? within = null, [CallerArgumentExpression(nameof(condition))] string what = "") =>
        PollAsync<object>(async token => await condition(token) ? Done : null, within, what, cancellationToken);

    /// <summary>Until the function gives something.</summary>
    public static Task<T> ValueAsync<T>(
        Func<CancellationToken, Task<T?>> value, CancellationToken cancellationToken, TimeSpan? within = null, [CallerArgumentExpression(nameof(value))] string what = "")
        where T : class => PollAsync(value, within, what, cancellationToken);

    /// <summary>Until the assertions hold; at the deadline the last failure is the test's failure.</summary>
    public static Task PassesAsync(Func<CancellationToken, Task> assertions, CancellationToken cancellationToken, TimeSpan? within = null) =>
        PollAsync<object>(
            async token =>
            {
                await assertions(token);
                return Done;
            },
            within,
            "assertions hold",
            cancellationToken);

    private static readonly object Done = new();

    private static async Task<T> PollAsync<T>(Func<CancellationToken, Task<T?>> attempt, TimeSpan? within, string what, CancellationToken cancellationToken)
        where T : class
    {
        var limit = within ?? DefaultDeadline;
        var started = Stopwatch.GetTimestamp();
        using var timer = new PeriodicTimer(PollEvery);
        while (true)
        {
            Exception? failure = null;
            try
            {
                if (await attempt(cancellationToken) is { } result)
                {
                    return result;
                }
            }
            catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
            {
                failure = e;
            }

            if (Stopwatch.GetElapsedTime(started) > limit)
            {
                throw new TimeoutException($"not within {limit.TotalSeconds:0.#} s: {what}", failure);
            }

            await timer.WaitForNextTickAsync(cancellationToken);
        }
    }
}
