using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Caches;

/// <summary><c>slipway cache create CACHE</c></summary>
internal sealed class CacheCreate : Verb
{
    private readonly Argument<string> cache;
    private readonly Option<bool> isPublic;
    private readonly Option<int?> priority;
    private readonly Option<string?> store;
    private readonly Option<string?> check;

    public CacheCreate()
        : base("create", "Create a Nix binary cache")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
        isPublic = Flag("--public", "Anyone may fetch from it, without a key");
        priority = Number("--priority", "N", "Lower is asked first; 41 unless given, cache.nixos.org has 40", least: 0, most: 1000);
        store = Text("--store", "NAME", "Store it lives in; the server's default unless given");
        check = Choice("--reference-check", "Refuse a path that hides a reference, or only note it; strict unless given", ["strict", "record"]);
    }

    public override IReadOnlyList<string> Examples => ["cache create acme/main", "cache create acme/open --public --priority 30"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Cache(run.Get(cache));
        var created = await run.Client.CreateCacheAsync(
            org, new CreateCacheRequest(name, run.Get(isPublic), run.Get(priority), run.Get(store), run.Get(check)), cancellationToken);
        run.Write(created, json => json.Cache, one => $"{one.Org}/{one.Name}", one => CacheShow.Print(one, run));
        run.Done($"created cache {org}/{name}");
        run.Next($"slipway push {org}/{name} ./result", "pushes a build and all it needs");
        run.Next($"slipway cache use {org}/{name}", "what nix needs to fetch from it");
        return ExitCodes.Ok;
    }
}
