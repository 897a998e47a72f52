using System.Diagnostics;

namespace Slipway.Server.Health;

/// <summary>What one check found.</summary>
/// <param name="Problem">Null when all is well; else what is wrong and what to do.</param>
/// <param name="Note">Anything worth showing when all is well.</param>
internal sealed record CheckOutcome(string? Problem, string? Note = null, long? FreeBytes = null)
{
    public static CheckOutcome Well { get; } = new(Problem: null);
}

/// <summary>One thing the server can't do its work without.</summary>
internal sealed record ReadinessCheck(string Name, Func<CancellationToken, Task<CheckOutcome>> RunAsync);

/// <summary>A line of the answer of <c>/readyz</c>.</summary>
internal sealed record CheckReport(string Name, string Status, double LatencyMs, string? Reason, string? Note, long? FreeBytes);

/// <summary>The answer of <c>/readyz</c>: <c>ready</c> or <c>unready</c>, and why.</summary>
internal sealed record ReadinessReport(string Status, IReadOnlyList<CheckReport> Checks)
{
    public bool IsReady => Status == "ready";
}

/// <summary>
/// Whether this server does its work, found by doing a little of it. Nobody needs a credential to ask, so an answer is kept for a
/// moment: a flood of questions costs one look at the database.
/// </summary>
internal sealed class Readiness(IEnumerable<ReadinessCheck> checks, TimeProvider time)
{
    // Load balancers ask every second or so; each shall get an answer of its own.
    private static readonly TimeSpan Freshness = TimeSpan.FromMilliseconds(250);

    // Probes usually give up after 1 to 5 s; a check that needs 2 s is a failure already.
    private static readonly TimeSpan CheckTimeout = TimeSpan.FromSeconds(2);

    private readonly ReadinessCheck[] checks = [.. checks];
    private readonly SemaphoreSlim oneAtATime = new(1);
    private volatile bool isDraining;
    private (ReadinessReport Report, long At)? last;

    /// <summary>Says unready from now on, whatever the checks find.</summary>
    public void Drain() => isDraining = true;

    public async Task<ReadinessReport> ReportAsync(CancellationToken cancellationToken)
    {
        if (isDraining)
        {
            // The checks need not answer any more: what they ask may be stopping.
            return new ReadinessReport("unready", [new CheckReport("serving", "failed", 0, "the server is draining: it finishes what it has and takes nothing new", null, null)]);
        }

        await oneAtATime.WaitAsync(cancellationToken);
        try
        {
            if (last is { } kept && time.GetElapsedTime(kept.At) < Freshness)
            {
                return kept.Report;
            }

            var reports = await Task.WhenAll(checks.Select(check => RunAsync(check, cancellationToken)));
            var report = new ReadinessReport(reports.All(one => one.Status == "ok") ? "ready" : "unready", reports);
            last = (report, time.GetTimestamp());
            return report;
        }
        finally
        {
            oneAtATime.Release();
        }
    }

    private async Task<CheckReport> RunAsync(ReadinessCheck check, CancellationToken cancellationToken)
    {
        var started = Stopwatch.GetTimestamp();
        CheckOutcome outcome;
        try
        {
            using var timeout = new CancellationTokenSource(CheckTimeout, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
            // WaitAsync as well: a check that ignores its token must not hold the answer up.
            outcome = await check.RunAsync(either.Token).WaitAsync(either.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            outcome = new CheckOutcome($"no answer within {CheckTimeout.TotalSeconds:0} s");
        }
        catch (Exception failure) when (failure is not OperationCanceledException)
        {
            // The type only: messages of drivers name hosts, users and paths, and anybody may read this.
            outcome = new CheckOutcome($"failed with {failure.GetType().Name}; the log of the server says more");
        }

        return new CheckReport(
            check.Name, outcome.Problem is null ? "ok" : "failed", Math.Round(Stopwatch.GetElapsedTime(started).TotalMilliseconds, 2), outcome.Problem, outcome.Note, outcome.FreeBytes);
    }
}
