using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.BuildCaches;

/// <summary><c>slipway buildcache explain ACTION</c>: why an action hits or misses.</summary>
internal sealed class BuildCacheExplain : Verb
{
    private readonly Argument<string> action;
    private readonly CacheOption cache;

    public BuildCacheExplain()
        : base("explain", "Say why an action hits or misses")
    {
        action = Positional("ACTION", "The action's digest: 64 hex digits, perhaps with /size; in Bazel's --execution_log_json_file and in buildcache stats");
        cache = new CacheOption(this, "The instance name: org/cache, or org/cache/sub");
    }

    public override string Remarks => "Exit code 0: it would hit now. 1: it would not.";

    public override IReadOnlyList<string> Examples => ["buildcache explain 8f4b…/142 --cache acme/main", "buildcache explain 8f4b… --cache acme/main/release --json"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name, sub) = await cache.ResolveAsync(run, cancellationToken);
        var answer = await run.Client.ExplainBuildActionAsync(org, name, run.Get(action), sub, cancellationToken);
        run.Write(answer, json => json.ActionExplanation, one => one.Verdict, one => Print(one, run));
        return answer.Verdict == "hit" ? ExitCodes.Ok : ExitCodes.Failed;
    }

    private static void Print(ActionExplanation answer, Invocation run)
    {
        new Fields()
            .Add("action", answer.Action)
            .Add("instance", answer.InstanceName)
            .Add("verdict", answer.Verdict.Replace('_', ' '), answer.Verdict)
            .Add("missing blob", answer.MissingBlob)
            .Add("why", answer.Explanation)
            .Add("written by", answer.Producer is { } producer ? $"{producer.User}{(producer.Tool is null ? "" : $" with {producer.Tool}")}, invocation {producer.Invocation}, {Figures.Since(producer.At, run.Now)}" : null)
            .Add("action of", answer.Producer is { Target.Length: > 0 } of ? $"{of.Mnemonic} {of.Target}".Trim() : null)
            .Add("ran for", answer.Producer is { CostMs: > 0 } cost ? Figures.Duration(TimeSpan.FromMilliseconds(cost.CostMs)) : null)
            .Write(run.Terminal);
        if (!run.Environment.OutIsTerminal)
        {
            return;
        }

        Producers(run, "Also written to", answer.Elsewhere);
        Producers(run, "The same target from other inputs", answer.Alike);
        if (answer.Misses.Count > 0)
        {
            run.Out.WriteLine();
            run.Out.WriteLine(run.Terminal.OutStyle.Bold("Missed"));
            new Table<ActionMiss>()
                .When("WHEN", miss => miss.At, run.Now)
                .Add("WHY", miss => miss.Reason)
                .Add("INVOCATION", miss => miss.Invocation)
                .Write(answer.Misses, run.Terminal);
        }
    }

    private static void Producers(Invocation run, string title, IReadOnlyList<ActionProducer> producers)
    {
        if (producers.Count > 0)
        {
            run.Out.WriteLine();
            run.Out.WriteLine(run.Terminal.OutStyle.Bold(title));
            new Table<ActionProducer>()
                .When("WHEN", one => one.At, run.Now)
                .Add("INSTANCE", one => one.InstanceName)
                .Add("BY", one => one.User)
                .Add("ACTION", one => one.Action[..12], one => one.Action)
                .Add("INVOCATION", one => one.Invocation)
                .Write(producers, run.Terminal);
        }
    }
}
