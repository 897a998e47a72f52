using System.CommandLine;
using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.BuildCaches;

/// <summary><c>slipway buildcache stats CACHE</c>: what a cache did for its builds; with <c>--invocation</c>, for one of them.</summary>
internal sealed class BuildCacheStatsShow : Verb
{
    private static readonly TimeSpan Standard = TimeSpan.FromHours(24);
    private static readonly TimeSpan Longest = TimeSpan.FromDays(366);
    private const int MissesShown = 10;

    private readonly Argument<string> cache;
    private readonly Option<TimeSpan?> since;
    private readonly Option<string?> invocation;

    public BuildCacheStatsShow()
        : base("stats", "Hit rate, bytes, saved time, top misses and invocations of a build cache")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
        since = Duration("--since", "How far to look back, in whole hours; 24h unless given", TimeSpan.FromHours(1), Longest);
        invocation = Text("--invocation", "ID", "One invocation, with what it missed");
    }

    public override string Remarks =>
        "Saved time is how long the actions behind the hits had run, as far as their results tell (Bazel from 5 on and remote workers do). Runs of one tool without an invocation "
        + "id of its own are told apart by five minutes of silence.";

    public override IReadOnlyList<string> Examples => ["buildcache stats acme/main", "buildcache stats acme/main --since 7d --json | jq .totals.hitRate"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.BuildCache(run.Get(cache));
        if (run.Get(invocation) is { } id)
        {
            var detail = await run.Client.GetBuildInvocationAsync(org, name, id, cancellationToken);
            run.Write(detail, json => json.BuildInvocationDetail, one => one.Invocation.Id, one => Print(one, run));
            return ExitCodes.Ok;
        }

        var hours = (int)Math.Ceiling((run.Get(since) ?? Standard).TotalHours);
        var stats = await run.Client.GetBuildCacheStatsAsync(org, name, hours, cancellationToken);
        run.Write(stats, json => json.BuildCacheStats, one => one.InstanceName, one => Print(one, run));
        if (stats.TopMisses is [var top, ..])
        {
            run.Next($"slipway buildcache explain {top.LastAction} --cache {org}/{name}", "why it misses");
        }
        else if (stats.Totals.Calls == 0)
        {
            run.Next($"slipway buildcache use {org}/{name}", "nothing used it yet: the lines for your build tool");
        }

        return ExitCodes.Ok;
    }

    private static void Print(BuildCacheStats stats, Invocation run)
    {
        var fields = new Fields().Add("build cache", stats.InstanceName).When("since", stats.Since, run.Now);
        Add(fields, stats.Totals).Write(run.Terminal);
        Section(run, "Top misses", stats.TopMisses.Take(MissesShown).ToList(), new Table<BuildMissCount>()
            .Number("MISSES", one => Figures.Count(one.Misses), one => one.Misses.ToString(CultureInfo.InvariantCulture))
            .Number("INCOMPLETE", one => one.Incomplete == 0 ? "–" : Figures.Count(one.Incomplete), one => one.Incomplete.ToString(CultureInfo.InvariantCulture))
            .Add("ACTION", one => one.Mnemonic.Length == 0 ? "–" : one.Mnemonic, one => one.Mnemonic)
            .Add("TARGET", one => one.Target.Length == 0 ? "–" : one.Target, one => one.Target)
            .Add("LAST", one => one.LastAction[..12], one => one.LastAction));
        Section(run, "Users", stats.Users, new Table<BuildUserUsage>()
            .Add("USER", one => one.User)
            .Add("HITS", one => HitRate(one.Usage), one => one.Usage.HitRate?.ToString(CultureInfo.InvariantCulture) ?? "", right: true)
            .Number("DOWN", one => Figures.Bytes(one.Usage.BytesDown), one => one.Usage.BytesDown.ToString(CultureInfo.InvariantCulture))
            .Number("UP", one => Figures.Bytes(one.Usage.BytesUp), one => one.Usage.BytesUp.ToString(CultureInfo.InvariantCulture))
            .Number("CALLS", one => Figures.Count(one.Usage.Calls), one => one.Usage.Calls.ToString(CultureInfo.InvariantCulture)));
        Section(run, "Invocations", stats.Invocations, new Table<BuildInvocation>()
            .When("LAST SEEN", one => one.LastSeen, run.Now)
            .Add("TOOL", one => one.Tool ?? "–", one => one.Tool ?? "")
            .Add("USER", one => one.User)
            .Add("HITS", one => HitRate(one.Usage), one => one.Usage.HitRate?.ToString(CultureInfo.InvariantCulture) ?? "", right: true)
            .Number("DOWN", one => Figures.Bytes(one.Usage.BytesDown), one => one.Usage.BytesDown.ToString(CultureInfo.InvariantCulture))
            .Number("UP", one => Figures.Bytes(one.Usage.BytesUp), one => one.Usage.BytesUp.ToString(CultureInfo.InvariantCulture))
            .Add("INVOCATION", one => one.Id));
    }

    private static void Print(BuildInvocationDetail detail, Invocation run)
    {
        var one = detail.Invocation;
        var fields = new Fields()
            .Add("invocation", one.Id)
            .Add("instance", one.InstanceName)
            .Add("tool", one.Tool is null ? null : $"{one.Tool} {one.ToolVersion}".TrimEnd())
            .Add("part of", one.CorrelatedId)
            .Add("user", one.User)
            .Add("credential", one.CredentialId)
            .When("first seen", one.FirstSeen, run.Now)
            .When("last seen", one.LastSeen, run.Now);
        Add(fields, one.Usage).Write(run.Terminal);
        Section(run, "Misses", detail.Misses, new Table<ActionMiss>()
            .Add("WHY", miss => miss.Reason)
            .Add("ACTION", miss => miss.Mnemonic.Length == 0 ? "–" : miss.Mnemonic, miss => miss.Mnemonic)
            .Add("TARGET", miss => miss.Target.Length == 0 ? "–" : miss.Target, miss => miss.Target)
            .Add("DIGEST", miss => miss.Action[..12], miss => miss.Action)
            .Add("MISSING BLOB", miss => miss.MissingBlob is { } blob ? blob[..12] : "–", miss => miss.MissingBlob ?? ""));
    }

    private static Fields Add(Fields fields, BuildUsage usage) => fields
        .Add("hit rate", usage.HitRate is null ? "– (no results were asked for)" : $"{HitRate(usage)} ({Figures.Count(usage.ActionHits)} of {Figures.Count(usage.ActionHits + usage.ActionMisses, "result")})", usage.HitRate?.ToString(CultureInfo.InvariantCulture) ?? "")
        .Add("saved", usage.SavedMs > 0 ? $"{Figures.Duration(TimeSpan.FromMilliseconds(usage.SavedMs))} of execution" : "not told by the results", usage.SavedMs.ToString(CultureInfo.InvariantCulture))
        .Add("results written", Figures.Count(usage.ActionWrites), usage.ActionWrites.ToString(CultureInfo.InvariantCulture))
        .Add("down", $"{Figures.Bytes(usage.BytesDown)} in {Figures.Count(usage.BlobReads, "blob")}", usage.BytesDown.ToString(CultureInfo.InvariantCulture))
        .Add("up", $"{Figures.Bytes(usage.BytesUp)} in {Figures.Count(usage.BlobWrites, "blob")}", usage.BytesUp.ToString(CultureInfo.InvariantCulture))
        .Add("blobs not here", Figures.Count(usage.BlobMisses), usage.BlobMisses.ToString(CultureInfo.InvariantCulture))
        .Add("calls", usage.Calls == 0 ? "0" : $"{Figures.Count(usage.Calls)}, {Milliseconds(usage.TookMs / usage.Calls)} each, {Milliseconds(usage.LongestMs)} at most", usage.Calls.ToString(CultureInfo.InvariantCulture));

    private static string HitRate(BuildUsage usage) => usage.HitRate is { } rate ? string.Create(CultureInfo.InvariantCulture, $"{100 * rate:0.#} %") : "–";

    private static string Milliseconds(double time) => time < 10 ? string.Create(CultureInfo.InvariantCulture, $"{time:0.0#} ms") : Figures.Duration(TimeSpan.FromMilliseconds(time));

    // On a terminal alone: a pipe gets the fields, and --json has everything.
    private static void Section<T>(Invocation run, string title, IReadOnlyList<T> rows, Table<T> table)
    {
        if (rows.Count > 0 && run.Environment.OutIsTerminal)
        {
            run.Out.WriteLine();
            run.Out.WriteLine(run.Terminal.OutStyle.Bold(title));
            table.Write(rows, run.Terminal);
        }
    }
}
