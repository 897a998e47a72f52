using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Stores;

/// <summary><c>slipway store scrub NAME</c>: begins a scrub on the server, or finds the one that runs, and follows it.</summary>
internal sealed class StoreScrubRun : Verb
{
    /// <summary>Held by the server so long: each answer is progress to show.</summary>
    private static readonly TimeSpan ShowEvery = TimeSpan.FromSeconds(1);

    private readonly Argument<string> name;
    private readonly Option<long?> rate;
    private readonly Option<bool> detach;
    private readonly Option<bool> stop;
    private readonly Option<bool> last;

    public StoreScrubRun()
        : base("scrub", "Read everything in a store and set aside what has rotted (superusers only)")
    {
        name = Positional("NAME", "Name of the store; buildcache is that of the build caches");
        rate = Size("--rate", "Most bytes a second, such as 200MB; as fast as the disk gives them unless given", 1 << 20);
        detach = Flag("--detach", "Don't wait for the end; the server goes on");
        stop = Flag("--stop", "Stop the scrub that runs");
        last = Flag("--last", "Only show the scrub that runs, or the last");
    }

    public override string Remarks =>
        "The scrub runs on the server. Ctrl-C stops following it, not the scrub: the same command follows it again, and --stop ends it. A server that is restarted goes on where it was. "
        + "What has rotted is a miss from then on, and the next upload of it heals it; rotten large files are kept in the store's folder quarantine. "
        + "What is only in a bucket is not read: it is checked whenever it is read from there. The server scrubs by itself every content.scrubEvery. Exit code 1 when something was rotten.";

    public override IReadOnlyList<string> Examples => ["store scrub buildcache --rate 200MB", "store scrub default --detach", "store scrub default --stop"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var store = run.Get(name);
        if (new[] { run.Get(detach), run.Get(stop), run.Get(last) }.Count(given => given) > 1)
        {
            throw CliFailure.Usage("--detach, --stop and --last exclude each other");
        }

        if (run.Get(last))
        {
            return End(run, await run.Client.GetScrubAsync(store, TimeSpan.Zero, cancellationToken));
        }

        if (run.Get(stop))
        {
            var stopped = await run.Client.StopScrubAsync(store, cancellationToken);
            return End(run, stopped);
        }

        var scrub = await run.Client.GetScrubAsync(store, TimeSpan.Zero, cancellationToken);
        if (scrub is { State: "running", Scheduled: false })
        {
            run.Terminal.Warn($"{store} is being scrubbed already, begun {Figures.Since(scrub.StartedAt ?? run.Now, run.Now)}{(run.Get(rate) is null ? "" : "; --rate is not used")}");
        }
        else
        {
            scrub = await run.Client.StartScrubAsync(store, new StartScrubRequest(run.Get(rate)), cancellationToken);
        }

        return End(run, run.Get(detach) ? scrub : await FollowAsync(run, scrub, cancellationToken));
    }

    private static async Task<StoreScrub> FollowAsync(Invocation run, StoreScrub scrub, CancellationToken cancellationToken)
    {
        var live = run.Environment.ErrorIsTerminal && !run.Json && !run.Quiet;
        try
        {
            while (scrub.State == "running")
            {
                if (live)
                {
                    run.Environment.Error.Write($"\r{ScrubWords.Progress(scrub)} {run.Terminal.ErrorStyle.Dim("Ctrl-C leaves it running")}\e[K");
                }

                scrub = await run.Client.GetScrubAsync(scrub.Store, ShowEvery, cancellationToken);
            }

            return scrub;
        }
        catch (OperationCanceledException)
        {
            run.Terminal.Say("");
            run.Terminal.Warn($"the server goes on: {ScrubWords.Progress(scrub)} so far; slipway store scrub {scrub.Store} --stop ends it");
            throw;
        }
        finally
        {
            if (live)
            {
                run.Environment.Error.Write("\r\e[K");
            }
        }
    }

    private static int End(Invocation run, StoreScrub scrub)
    {
        run.Write(scrub, json => json.StoreScrub, one => one.State, one => Print(one, run));
        if (scrub.State == "failed")
        {
            throw new CliFailure(ExitCodes.RemoteFailed, "scrub_failed", $"the scrub of {scrub.Store} failed") { Cause = scrub.Error, Try = [$"slipway store scrub {scrub.Store}"] };
        }

        return scrub.Faults == 0 ? ExitCodes.Ok : ExitCodes.Failed;
    }

    private static void Print(StoreScrub scrub, Invocation run)
    {
        var style = run.Terminal.OutStyle;
        var mark = scrub.Faults > 0 ? style.Red("✗") : scrub.State == "done" ? style.Green("✓") : "·";
        var words = scrub.State == "running" ? $"being scrubbed, {ScrubWords.Progress(scrub)}" : ScrubWords.Of(scrub);
        run.Out.WriteLine($"{mark} {style.Bold(Printable.Text(scrub.Store))}: {(scrub.State == "never" ? "never scrubbed" : Printable.Text(words))}");
        foreach (var finding in scrub.Findings ?? [])
        {
            run.Out.WriteLine($"  {style.Red("rotten")}  {Printable.Text(finding)}");
        }

        if (scrub.Faults > (scrub.Findings?.Count ?? 0))
        {
            run.Out.WriteLine($"  and {Figures.Count(scrub.Faults - (scrub.Findings?.Count ?? 0), "fault")} more");
        }

        if (scrub.Faults > 0)
        {
            run.Out.WriteLine("  these blobs are missing now: the next build or push that has them uploads them again");
        }
    }
}
