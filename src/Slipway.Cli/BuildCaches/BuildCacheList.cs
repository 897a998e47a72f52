using System.CommandLine;
using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.BuildCaches;

/// <summary><c>slipway buildcache list</c></summary>
internal sealed class BuildCacheList : Verb
{
    private readonly Option<string?> org;

    public BuildCacheList()
        : base("list", "List the build caches of an org")
    {
        org = OrgOption();
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        await run.WriteListAsync(
            run.Client.ListBuildCachesAsync(run.Org(org), cancellationToken),
            json => json.PageBuildCache,
            cache => cache.InstanceName,
            new Table<BuildCache>()
                .Add("CACHE", cache => cache.InstanceName)
                .Number("BLOBS", cache => Figures.Count(cache.Blobs), cache => cache.Blobs.ToString(CultureInfo.InvariantCulture))
                .Number("STORED", cache => Figures.Bytes(cache.StoredBytes), cache => cache.StoredBytes.ToString(CultureInfo.InvariantCulture))
                .Number("QUOTA", cache => cache.QuotaBytes is { } quota ? Figures.Bytes(quota) : "none", cache => cache.QuotaBytes?.ToString(CultureInfo.InvariantCulture) ?? "")
                .Add("RETENTION", cache => cache.RetentionDays is { } days ? Figures.Count(days, "day") : "–", cache => cache.RetentionDays?.ToString(CultureInfo.InvariantCulture) ?? "")
                .Add("READ", cache => cache.AnonymousRead ? "anyone" : "members")
                .When("CREATED", cache => cache.CreatedAt, run.Now),
            "no build caches yet: slipway buildcache create NAME");
        return ExitCodes.Ok;
    }
}
