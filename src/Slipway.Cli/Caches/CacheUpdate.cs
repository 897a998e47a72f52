using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Caches;

/// <summary><c>slipway cache update CACHE</c></summary>
internal sealed class CacheUpdate : Verb
{
    private readonly Argument<string> cache;
    private readonly Option<bool> isPublic;
    private readonly Option<bool> isPrivate;
    private readonly Option<int?> priority;
    private readonly Option<string?> check;

    public CacheUpdate()
        : base("update", "Change a cache's access, priority or checks")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
        isPublic = Flag("--public", "Anyone may fetch from it");
        isPrivate = Flag("--private", "Only members and keys of the org may fetch from it");
        priority = Number("--priority", "N", "Lower is asked first", least: 0, most: 1000);
        check = Choice("--reference-check", "Refuse a path that hides a reference, or only note it", ["strict", "record"]);
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        if (run.Get(isPublic) && run.Get(isPrivate))
        {
            throw CliFailure.Usage("--public and --private can't both be");
        }

        bool? access = run.Get(isPublic) ? true : run.Get(isPrivate) ? false : null;
        var change = new UpdateCacheRequest(access, run.Get(priority), run.Get(check));
        if (change == new UpdateCacheRequest())
        {
            throw CliFailure.Usage("nothing to change was given", "slipway cache update --help");
        }

        var (org, name) = run.Cache(run.Get(cache));
        var before = await run.Client.GetCacheAsync(org, name, cancellationToken);
        var after = await run.Client.UpdateCacheAsync(org, name, change, before.ETag, cancellationToken);
        run.Write(after, json => json.Cache, one => $"{one.Org}/{one.Name}", one => CacheShow.Print(one, run));
        run.Done($"updated {org}/{name}");
        return ExitCodes.Ok;
    }
}
