using System.CommandLine;
using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.DeadLetters;

/// <summary>What redrive and purge have in common: which dead letters, how many those are, and following the server's work on them.</summary>
internal abstract class DeadLettersVerb : JobVerb
{
    /// <summary>Held by the server so long: each answer is progress to show.</summary>
    private static readonly TimeSpan ShowEvery = TimeSpan.FromSeconds(1);

    /// <summary>Counting by type walks the list; beyond this "more than" says enough to decide.</summary>
    private const int MostCounted = 10_000;

    private readonly Option<bool> detach;

    protected DeadLettersVerb(string name, string summary)
        : base(name, summary)
    {
        Queue = QueueArgument();
        Reason = Text("--reason", "REASON", "Only those of this reason, such as 'exit 1'");
        Type = TypeFilter("Only those of this job type");
        Ids = Texts("--id", "ID", "Only this dead letter (ID of slipway jobs dead list); may be given several times");
        DryRun = Flag("--dry-run", "Only say how many");
        detach = Flag("--detach", "Don't wait for the end; the server goes on");
    }

    protected Argument<string> Queue { get; }

    protected Option<string?> Reason { get; }

    protected Option<string?> Type { get; }

    protected Option<string[]> Ids { get; }

    protected Option<bool> DryRun { get; }

    protected IReadOnlyList<string>? GivenIds(Invocation run) => run.Get(Ids) is { Length: > 0 } ids ? ids : null;

    protected sealed record Affected(long Count, bool More, IReadOnlyList<(string Reason, long Count)> Reasons)
    {
        public string Words => (More ? "more than " : "") + Figures.Count(Count, "dead letter");
    }

    protected async Task<Affected> CountAsync(Invocation run, string org, string name, CancellationToken cancellationToken)
    {
        if (GivenIds(run) is { } ids)
        {
            return new Affected(ids.Count, false, []);
        }

        if (run.Get(Type) is null)
        {
            var stats = await run.Client.GetQueueStatsAsync(org, name, cancellationToken);
            var reasons = stats.DeadReasons.Where(pair => run.Get(Reason) is null || pair.Key == run.Get(Reason)).Select(pair => (pair.Key, pair.Value)).OrderByDescending(pair => pair.Value).ToList();
            return new Affected(run.Get(Reason) is null ? stats.Dead : reasons.Sum(pair => pair.Value), false, reasons);
        }

        var byReason = new Dictionary<string, long>(StringComparer.Ordinal);
        var count = 0L;
        await foreach (var dead in run.Client.ListDeadLettersAsync(org, name, run.Get(Reason), run.Get(Type), cancellationToken))
        {
            if (++count > MostCounted)
            {
                return new Affected(MostCounted, true, []);
            }

            byReason[dead.Reason] = byReason.GetValueOrDefault(dead.Reason) + 1;
        }

        return new Affected(count, false, [.. byReason.Select(pair => (pair.Key, pair.Value)).OrderByDescending(pair => pair.Value)]);
    }

    /// <summary>Shows the reasons and how many fall under each: what somebody who is asked wants to know.</summary>
    protected static void ShowReasons(Invocation run, Affected affected)
    {
        const int Most = 8;
        if (run.Json || run.Quiet)
        {
            return;
        }

        var width = affected.Reasons.Take(Most).Select(pair => Figures.Count(pair.Count).Length).DefaultIfEmpty(0).Max();
        foreach (var (reason, count) in affected.Reasons.Take(Most))
        {
            run.Terminal.Say($"  {Figures.Count(count).PadLeft(width)}  {Printable.Text(reason)}");
        }

        if (affected.Reasons.Count > Most)
        {
            run.Terminal.Say($"  {new string(' ', width)}  and {Figures.Count(affected.Reasons.Count - Most, "other reason")}");
        }
    }

    /// <summary>Follows the operation to its end. Ctrl-C stops following, not the operation.</summary>
    protected async Task<int> FollowAsync(Invocation run, string org, string name, QueueOperation operation, long expected, string done, CancellationToken cancellationToken)
    {
        var live = run.Environment.ErrorIsTerminal && !run.Json && !run.Quiet;
        try
        {
            while (operation.State == "running" && !run.Get(detach))
            {
                if (live)
                {
                    var share = expected > 0 ? string.Create(CultureInfo.InvariantCulture, $" of {expected:#,0}") : "";
                    run.Environment.Error.Write($"\r{Figures.Count(operation.Done)}{share} {run.Terminal.ErrorStyle.Dim("Ctrl-C leaves it running")}\e[K");
                }

                operation = await run.Client.GetQueueOperationAsync(org, name, operation.Id, ShowEvery, cancellationToken);
            }
        }
        catch (OperationCanceledException)
        {
            run.Terminal.Say("");
            run.Terminal.Warn($"the server goes on: {Figures.Count(operation.Done)} {done} so far");
            throw;
        }
        finally
        {
            if (live)
            {
                run.Environment.Error.Write("\r\e[K");
            }
        }

        run.Write(operation, json => json.QueueOperation, one => one.Id, _ => { });
        switch (operation.State)
        {
            case "running":
                run.Done($"started: the server goes on by itself ({operation.Id})");
                return ExitCodes.Ok;
            case "done":
                run.Done($"{done} {Figures.Count(operation.Done, "dead letter")} of {org}/{name}");
                return ExitCodes.Ok;
            default:
                throw new CliFailure(ExitCodes.RemoteFailed, "operation_" + operation.State, $"{operation.State} after {Figures.Count(operation.Done, "dead letter")}")
                {
                    Cause = operation.Error, Try = ["the same command again: it goes on with what is left"],
                };
        }
    }
}
