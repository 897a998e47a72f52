using System.CommandLine;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.BuildCaches;

/// <summary><c>slipway buildcache delete CACHE</c></summary>
internal sealed class BuildCacheDelete : Verb
{
    private readonly Argument<string> cache;
    private readonly Option<bool> yes;

    public BuildCacheDelete()
        : base("delete", "Delete a build cache with all it holds")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
        yes = Flag("--yes", "Don't ask");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.BuildCache(run.Get(cache));
        var found = await run.Client.GetBuildCacheAsync(org, name, cancellationToken);
        run.Confirm(
            $"{org}/{name} with {Figures.Count(found.Value.Blobs, "blob")} ({Figures.Bytes(found.Value.StoredBytes)}) will be gone for good; builds that use it start from nothing.",
            $"{org}/{name}",
            run.Get(yes));
        await run.Client.DeleteBuildCacheAsync(org, name, found.ETag, cancellationToken);
        run.Done($"deleted build cache {org}/{name}");
        return ExitCodes.Ok;
    }
}
