using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.BuildCaches;

/// <summary><c>slipway buildcache update CACHE</c></summary>
internal sealed class BuildCacheUpdate : BuildCacheSettingsVerb
{
    private readonly Option<string?> anonymous;
    private readonly Option<bool> noAssetHosts;

    public BuildCacheUpdate()
        : base("update", "Change a build cache's bounds and access")
    {
        anonymous = Choice("--anonymous-read", "Whether anyone may read from it without a key", ["on", "off"]);
        noAssetHosts = Flag("--no-asset-hosts", "Fetch remote assets from nowhere");
    }

    public override IReadOnlyList<string> Examples => ["buildcache update acme/main --quota 500GiB", "buildcache update acme/main --validate-actions off"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var hosts = run.Get(noAssetHosts) ? [] : AssetHosts(run);
        bool? open = run.Get(anonymous) switch { null => null, var word => word == "on" };
        var request = new UpdateBuildCacheRequest(Quota(run), RetentionDays(run), MaxBlob(run), Validate(run), open, hosts);
        if (request == new UpdateBuildCacheRequest())
        {
            throw CliFailure.Usage("nothing to change was given", "slipway buildcache update --help");
        }

        var (org, name) = Named(run);
        var before = await run.Client.GetBuildCacheAsync(org, name, cancellationToken);
        var after = await run.Client.UpdateBuildCacheAsync(org, name, request, before.ETag, cancellationToken);
        run.Write(after, json => json.BuildCache, one => one.InstanceName, one => BuildCacheShow.Print(one, run));
        run.Done($"updated {org}/{name}");
        return ExitCodes.Ok;
    }
}
