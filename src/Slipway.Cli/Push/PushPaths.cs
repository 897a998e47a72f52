using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Slipway.Api;
using Slipway.Api.Client;
using Slipway.Cli.Nix;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Push;

/// <summary><c>slipway push CACHE PATH…</c>: closure → what is missing → bundles → archives.</summary>
internal sealed class PushPaths : Verb
{
    /// <summary>The API's limit of one missing-paths call.</summary>
    private const int MaxHashes = 10_000;

    private const int DefaultJobs = 4;
    private const int DefaultLevel = 3;

    private readonly Argument<string> cache;
    private readonly Argument<string[]> paths;
    private readonly Option<int?> jobs;
    private readonly Option<string?> compression;
    private readonly Option<int?> level;
    private readonly Option<string?> storeRoot;

    public PushPaths()
        : base("push", "Push store paths and all they refer to")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
        paths = Positionals("PATH", "/nix/store/…, a symlink such as ./result, or - for a list on stdin");
        jobs = Number("--jobs", "N", $"Archives on their way at once; {DefaultJobs} unless given", least: 1, most: 64);
        compression = Choice("--compression", "How to pack the NARs; zstd unless given", ["zstd", "none"]);
        level = Number("--level", "N", $"zstd level; {DefaultLevel} unless given", least: 1, most: 19);
        storeRoot = Text("--store-root", "FOLDER", "Push from a store under this root, as of local?root=FOLDER [env: NIX_REMOTE]");
    }

    public override string Remarks =>
        "What the cache has already is not sent. A push that was stopped or cut goes on where it was: run it again.";

    public override IReadOnlyList<string> Examples =>
    [
        "push acme/main ./result",
        "push acme/main $(nix-build) --jobs 8",
        "push acme/main --store-root /mnt /nix/store/…-system",
    ];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Cache(run.Get(cache));
        try
        {
            return await PushAsync(run, org, name, cancellationToken);
        }
        catch (SlipwayApiException refused) when (refused.Problem.Code == ProblemCodes.ScopeMissing)
        {
            throw new CliFailure(ExitCodes.Of(refused.Problem), refused.Problem.Code, $"the key may not push to {org}/{name}")
            {
                Cause = $"{refused.Message} A push takes nix:query (what is missing?) and nix:push.",
                Try = [$"slipway key issue NAME --scope 'nix:push:{org}/{name}' --scope 'nix:query:{org}/{name}'   (signed in, without SLIPWAY_TOKEN)"],
            };
        }
    }

    private async Task<int> PushAsync(Invocation run, string org, string name, CancellationToken cancellationToken)
    {
        var nix = new NixProgram(run.Environment, run.Get(storeRoot) ?? RootOf(run.Environment.Variable("NIX_REMOTE")));
        var roots = Typed(run).Select(nix.Resolve).Distinct(StringComparer.Ordinal).ToList();
        var closure = await nix.ClosureAsync(roots, cancellationToken);
        var missing = await FindMissingAsync(run, org, name, closure, cancellationToken);
        var bundles = BundlePlan.Of(closure, missing);
        var todo = bundles.SelectMany(bundle => bundle.Paths).ToList();
        var bytes = todo.Sum(path => path.NarSize);
        var progress = new PushProgress(run.Terminal, bytes, todo.Count, bundles.Count);
        var added = 0;
        if (todo.Count > 0)
        {
            if (!run.Json)
            {
                run.Terminal.Say(
                    $"pushing {Figures.Count(todo.Count, "path")} ({Figures.Bytes(bytes)}) to {run.Terminal.ErrorStyle.Bold($"{org}/{name}")}"
                    + (closure.Count > todo.Count ? $"; {Figures.Count(closure.Count - todo.Count)} are there already" : ""));
            }

            added = await UploadAsync(run, org, name, nix, bundles, progress, cancellationToken);
        }

        Report(run, org, name, closure, todo, bytes, added, progress.Elapsed);
        return ExitCodes.Ok;
    }

    private async Task<int> UploadAsync(
        Invocation run, string org, string name, NixProgram nix, IReadOnlyList<Bundle> bundles, PushProgress progress, CancellationToken cancellationToken)
    {
        var packing = new Packing(run.Get(compression) != "none", run.Get(level) ?? DefaultLevel);
        var pusher = new Pusher(run.Client, org, name, packing, nix, run.Get(jobs) ?? DefaultJobs, run.Environment.Time);
        var work = pusher.RunAsync(bundles, progress, cancellationToken);
        try
        {
            await progress.ShowWhileAsync(work);
            return await work;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            run.Terminal.Say($"stopped: {progress.PlainLine()}");
            run.Terminal.Next([($"slipway push {org}/{name} {string.Join(' ', run.Get(paths))}", "goes on from here")]);
            return await work;
        }
    }

    private IEnumerable<string> Typed(Invocation run)
    {
        foreach (var path in run.Get(paths))
        {
            if (path != "-")
            {
                yield return path;
                continue;
            }

            while (run.Environment.In.ReadLine() is { } line)
            {
                if (line.Trim() is { Length: > 0 } word)
                {
                    yield return word;
                }
            }
        }
    }

    private static async Task<HashSet<string>> FindMissingAsync(
        Invocation run, string org, string name, IReadOnlyList<PathInfo> closure, CancellationToken cancellationToken)
    {
        var missing = new HashSet<string>(StringComparer.Ordinal);
        foreach (var hashes in closure.Select(path => StorePathName.HashOf(path.StorePath)).Chunk(MaxHashes))
        {
            missing.UnionWith((await run.Client.FindMissingPathsAsync(org, name, new MissingPathsRequest(hashes), cancellationToken)).Missing);
        }

        return missing;
    }

    private static void Report(
        Invocation run, string org, string name, IReadOnlyList<PathInfo> closure, IReadOnlyList<PathInfo> pushed, long bytes, int added, TimeSpan took)
    {
        if (run.Json)
        {
            run.Out.WriteLine(new JsonObject
            {
                ["cache"] = $"{org}/{name}",
                ["paths"] = closure.Count,
                ["pushed"] = pushed.Count,
                ["added"] = added,
                ["narBytes"] = bytes,
                ["seconds"] = Math.Round(took.TotalSeconds, 3),
            }.ToJsonString(CliJson.Indented.Options));
            return;
        }

        if (run.Quiet)
        {
            foreach (var path in pushed)
            {
                run.Out.WriteLine(path.StorePath);
            }

            return;
        }

        run.Done(pushed.Count == 0
            ? $"{org}/{name} has {(closure.Count == 1 ? "it" : string.Create(CultureInfo.InvariantCulture, $"all {Figures.Count(closure.Count)} paths"))} already"
            : $"pushed {Figures.Count(pushed.Count, "path")} ({Figures.Bytes(bytes)}) to {org}/{name} in {Figures.Duration(took)}"
                + (bytes >= 1 << 20 ? $", {Figures.Bytes(bytes / Math.Max(took.TotalSeconds, 0.001))}/s" : ""));
    }

    /// <summary>The root in <c>local?root=/folder</c> (with <c>&amp;…</c> after it perhaps).</summary>
    public static string? RootOf(string? store)
    {
        const string Key = "root=";
        var at = store is not null && store.StartsWith("local?", StringComparison.Ordinal) ? store.IndexOf(Key, StringComparison.Ordinal) : -1;
        return at < 0 ? null : Uri.UnescapeDataString(store![(at + Key.Length)..].Split('&')[0]);
    }
}
