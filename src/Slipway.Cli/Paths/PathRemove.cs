using System.CommandLine;
using Slipway.Cli.Nix;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Paths;

/// <summary><c>slipway path rm CACHE PATH…</c></summary>
internal sealed class PathRemove : Verb
{
    private readonly Argument<string> cache;
    private readonly Argument<string[]> paths;
    private readonly Option<bool> yes;

    public PathRemove()
        : base("rm", "Remove store paths from a cache")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
        paths = Positionals("PATH", "/nix/store/…, or its hash");
        yes = Flag("--yes", "Don't ask");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Cache(run.Get(cache));
        var hashes = run.Get(paths).Select(StorePathName.HashOf).ToList();
        run.Confirm($"{hashes.Count} path(s) will no longer be served from {org}/{name}.", $"{org}/{name}", run.Get(yes));
        foreach (var hash in hashes)
        {
            var found = await run.Client.GetPathAsync(org, name, hash, cancellationToken);
            await run.Client.RemovePathAsync(org, name, hash, found.ETag, cancellationToken);
            run.Done($"removed {found.Value.StorePath}");
        }

        return ExitCodes.Ok;
    }
}
