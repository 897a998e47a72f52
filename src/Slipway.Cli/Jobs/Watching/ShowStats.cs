using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Slipway.Api;
using Slipway.Api.Client;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Watching;

/// <summary><c>slipway jobs stats [QUEUE]</c>: one queue in full, or all of an org at a glance; with <c>--watch</c> as they change.</summary>
internal sealed class ShowStats : JobVerb
{
    private static readonly TimeSpan OverviewEvery = TimeSpan.FromSeconds(2);

    /// <summary>History has a resolution of minutes.</summary>
    private static readonly TimeSpan HistoryEvery = TimeSpan.FromSeconds(10);

    private const int HistoryMinutes = 10;

    private readonly Argument<string?> queue;
    private readonly Option<string?> org;
    private readonly Option<bool> watch;

    public ShowStats()
        : base("stats", "Depths, rates, ages, errors and workers of a queue; of all queues when none is named")
    {
        queue = OptionalQueue("org/name, or name in the default org; all queues of the org unless given");
        org = OrgOption();
        watch = Flag("--watch", "Keep showing it, until Ctrl-C", ["-w"]);
    }

    public override string Remarks => "With --watch and --json each state is one line; in a pipe, without --json, a line of the most important figures. Exit code 0 at Ctrl-C.";

    public override IReadOnlyList<string> Examples => ["jobs stats", "jobs stats acme/mail --watch", "jobs stats acme/mail --watch --json | jq .perSecond.completed"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        if (run.Get(queue) is not { } named)
        {
            return await OverviewAsync(run, run.Org(org), cancellationToken);
        }

        var (orgName, name) = run.Queue(named);
        if (!run.Get(watch))
        {
            var stats = await run.Client.GetQueueStatsAsync(orgName, name, cancellationToken);
            var history = run.Json || run.Quiet ? null : await run.Client.GetQueueHistoryAsync(orgName, name, HistoryMinutes, cancellationToken);
            run.Write(stats, json => json.JobQueueStats, one => $"{orgName}/{name}", one => Print(run, new StatsBoard($"{orgName}/{name}", run.Terminal.OutStyle), one, history));
            return ExitCodes.Ok;
        }

        await WatchAsync(run, orgName, name, cancellationToken);
        return ExitCodes.Ok;
    }

    private static void Print(Invocation run, StatsBoard board, JobQueueStats stats, JobQueueHistory? history)
    {
        if (!run.Environment.OutIsTerminal)
        {
            foreach (var (name, value) in StatsBoard.Plain(stats))
            {
                run.Out.WriteLine($"{Printable.Text(name)}\t{value}");
            }

            return;
        }

        board.Add(new JobQueueLive(stats, new Dictionary<string, double>()), history);
        foreach (var line in board.Lines(run.Environment.Width(), int.MaxValue))
        {
            run.Out.WriteLine(line);
        }
    }

    private async Task WatchAsync(Invocation run, string orgName, string name, CancellationToken cancellationToken)
    {
        // Says that the queue is there, or that it is not, before the screen is taken.
        _ = await run.Client.GetQueueStatsAsync(orgName, name, cancellationToken);
        var board = new StatsBoard($"{orgName}/{name}", run.Terminal.OutStyle);
        using var screen = run.Environment.OutIsTerminal && !run.Json ? new Screen(run.Environment) : null;
        JobQueueHistory? history = null;
        long? historyAt = null;
        for (var attempt = 0; !cancellationToken.IsCancellationRequested;)
        {
            try
            {
                await foreach (var live in run.Client.WatchQueueAsync(orgName, name, cancellationToken))
                {
                    attempt = 0;
                    if (screen is null)
                    {
                        run.Out.WriteLine(run.Json ? JsonSerializer.Serialize(live, CliJson.Lines.JobQueueLive) : StatsBoard.PlainLine(live));
                        run.Out.Flush();
                        continue;
                    }

                    if (historyAt is not { } at || run.Environment.Time.GetElapsedTime(at) >= HistoryEvery)
                    {
                        historyAt = run.Environment.Time.GetTimestamp();
                        history = await run.Client.GetQueueHistoryAsync(orgName, name, HistoryMinutes, cancellationToken);
                    }

                    board.Add(live, history);
                    screen.Draw(board.Lines);
                }
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception failure) when (failure is IOException or HttpRequestException or SlipwayUnreachableException or SlipwayApiException { Problem.Status: 429 or >= 500 })
            {
                board.Trouble = failure.Message;
                screen?.Draw(board.Lines);
            }

            // A stream ends when its server stops; another one, or the same, goes on.
            await Task.Delay(RetryDelay.Next(++attempt, null), run.Environment.Time, cancellationToken).ContinueWith(static _ => { }, TaskScheduler.Default);
        }
    }

    private async Task<int> OverviewAsync(Invocation run, string orgName, CancellationToken cancellationToken)
    {
        var overview = await run.Client.GetJobsOverviewAsync(orgName, cancellationToken);
        if (!run.Get(watch))
        {
            run.Write(overview, json => json.JobsOverview, all => string.Join('\n', all.Queues.Select(one => $"{orgName}/{one.Name}")), all => Print(run, orgName, all, null, TimeSpan.Zero));
            return ExitCodes.Ok;
        }

        using var screen = run.Environment.OutIsTerminal && !run.Json ? new Screen(run.Environment) : null;
        JobsOverview? before = null;
        while (!cancellationToken.IsCancellationRequested)
        {
            if (run.Json)
            {
                run.Out.WriteLine(JsonSerializer.Serialize(overview, CliJson.Lines.JobsOverview));
            }
            else if (screen is null)
            {
                Print(run, orgName, overview, before, OverviewEvery);
            }
            else
            {
                screen.Draw(() => Print(run, orgName, overview, before, OverviewEvery));
            }

            run.Out.Flush();
            before = overview;
            try
            {
                await Task.Delay(OverviewEvery, run.Environment.Time, cancellationToken);
                overview = await run.Client.GetJobsOverviewAsync(orgName, cancellationToken);
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                break;
            }
        }

        return ExitCodes.Ok;
    }

    private static void Print(Invocation run, string orgName, JobsOverview overview, JobsOverview? before, TimeSpan between)
    {
        if (overview.Queues.Count == 0)
        {
            if (run.Environment.OutIsTerminal)
            {
                run.Terminal.Say($"no queues in {orgName} yet: slipway jobs queue create {orgName}/NAME");
            }

            return;
        }

        var table = new Table<JobQueueOverview>().Add("QUEUE", one => $"{orgName}/{one.Name}");
        Number("READY", one => one.Ready);
        Number("DELAYED", one => one.Delayed);
        Number("LEASED", one => one.Leased);
        Number("DEAD", one => one.Dead);
        table.Number("OLDEST", one => one.OldestReadyMs is > 0 and var age ? Figures.Duration(TimeSpan.FromMilliseconds(age)) : "–", one => Plain(one.OldestReadyMs));
        Number("WORKERS", one => one.Workers);
        if (before is not null)
        {
            var earlier = before.Queues.ToDictionary(one => one.Name, StringComparer.Ordinal);
            Rate("IN/S", "enqueued");
            Rate("DONE/S", "completed");

            void Rate(string heading, string total) => table.Number(heading, one => Change(one, total), one => Change(one, total));

            string Change(JobQueueOverview one, string total) =>
                one.Totals is { } now && earlier.TryGetValue(one.Name, out var then) && then.Totals is { } past
                    ? ((now.GetValueOrDefault(total) - past.GetValueOrDefault(total)) / between.TotalSeconds).ToString("#,0.#", CultureInfo.InvariantCulture)
                    : "";
        }

        table.Add("STATE", one => one.PausedWhy switch { null when one.Ready is null => "not reached", null => "", "settings" => "paused", var why => $"paused: {why}" })
            .Write(overview.Queues, run.Terminal);

        void Number(string heading, Func<JobQueueOverview, long?> value) =>
            table.Number(heading, one => value(one) is { } number ? Figures.Count(number) : "?", one => Plain(value(one)));

        static string Plain(long? number) => number?.ToString(CultureInfo.InvariantCulture) ?? "";
    }
}
