using System.CommandLine;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Caches;

/// <summary><c>slipway cache delete CACHE</c></summary>
internal sealed class CacheDelete : Verb
{
    private readonly Argument<string> cache;
    private readonly Option<bool> yes;

    public CacheDelete()
        : base("delete", "Delete a cache with all its paths")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
        yes = Flag("--yes", "Don't ask");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Cache(run.Get(cache));
        var found = await run.Client.GetCacheAsync(org, name, cancellationToken);
        run.Confirm(
            $"{org}/{name} with {Figures.Count(found.Value.Paths, "path")} ({Figures.Bytes(found.Value.NarBytes)}) and its signing keys will be gone for good.",
            $"{org}/{name}",
            run.Get(yes));
        await run.Client.DeleteCacheAsync(org, name, found.ETag, cancellationToken);
        run.Done($"deleted cache {org}/{name}");
        return ExitCodes.Ok;
    }
}
