using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.BuildCaches;

/// <summary><c>slipway buildcache create CACHE</c></summary>
internal sealed class BuildCacheCreate : BuildCacheSettingsVerb
{
    private readonly Option<bool> anonymous;

    public BuildCacheCreate()
        : base("create", "Create a build cache")
    {
        anonymous = Flag("--anonymous-read", "Anyone may read from it, without a key");
    }

    public override string Remarks =>
        "Below a cache any name is a sub-namespace that needs no set-up: ORG/CACHE/release keeps action results of its own and shares blobs and quota.";

    public override IReadOnlyList<string> Examples => ["buildcache create acme/main", "buildcache create acme/main --quota 200GiB --retention 30d"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = Named(run);
        var request = new CreateBuildCacheRequest(name, Quota(run), RetentionDays(run), MaxBlob(run), Validate(run), run.Get(anonymous), AssetHosts(run));
        var created = await run.Client.CreateBuildCacheAsync(org, request, cancellationToken);
        run.Write(created, json => json.BuildCache, one => one.InstanceName, one => BuildCacheShow.Print(one, run));
        run.Done($"created build cache {org}/{name}");
        run.Next($"slipway buildcache use {org}/{name} --issue-key", "the lines for Bazel, ccache, turbo and others, with a key");
        run.Next($"slipway buildcache stats {org}/{name}", "what it did for your builds");
        return ExitCodes.Ok;
    }
}
