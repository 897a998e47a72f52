using System.Text.RegularExpressions;
using Slipway.BuildCache.Stages;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Namespaces;

/// <summary>What a build cache may be called and set to.</summary>
internal static partial class CacheRules
{
    /// <summary>One segment of the store: a cache below it could never keep anything.</summary>
    private const long LeastQuota = 64L << 20;

    /// <summary>From here on a cache may be open to the world: read by anybody, filled from other hosts.</summary>
    public const OrgStage Sharing = OrgStage.Beta;

    private const long LeastMaxBlob = 1L << 20;
    private const int LongestRetention = 3650;

    /// <summary>Each upload by reference walks them.</summary>
    private const int MostAssetHosts = 100;

    public static void CheckName(Faults faults, string org, string name)
    {
        faults.Require(Name().IsMatch(name), "/name", "must have 2 to 39 characters of a-z, 0-9 and -, starting with a letter");
        faults.Require(InstanceName.TryParse($"{org}/{name}", out _) || !Name().IsMatch(name), "/name",
            "or the org's is a word the Remote Execution API keeps for itself (blobs, uploads, actions, operations, capabilities)");
    }

    public static void CheckSettings(
        Faults faults, string org, OrgStage stage, BuildCacheOptions options,
        long? quotaBytes, int? retentionDays, long? maxBlobBytes, bool anonymousRead, IReadOnlyList<string>? assetHosts)
    {
        faults.Require(quotaBytes is null or 0 or >= LeastQuota, "/quotaBytes", $"must be at least {LeastQuota} (64 MiB), or 0 for as much as the store takes");
        faults.Require(retentionDays is null or (>= 0 and <= LongestRetention), "/retentionDays", $"must be 1 to {LongestRetention}, or 0 to keep what fits the quota");
        faults.Require(
            maxBlobBytes is null || (maxBlobBytes >= LeastMaxBlob && maxBlobBytes <= options.MaxBlobBytes), "/maxBlobBytes",
            $"must be {LeastMaxBlob} (1 MiB) to {options.MaxBlobBytes}, this server's limits.buildCacheBlobBytes");
        faults.Require(assetHosts is null || assetHosts.Count <= MostAssetHosts, "/assetHosts", $"must name at most {MostAssetHosts} hosts");
        for (var index = 0; index < Math.Min(assetHosts?.Count ?? 0, MostAssetHosts); index++)
        {
            faults.Require(Host().IsMatch(assetHosts![index]), $"/assetHosts/{index}", "must be a host name in lower case, such as example.org or *.example.org");
        }

        faults.ThrowIfAny();
        var most = stage switch
        {
            OrgStage.Paid => long.MaxValue,
            OrgStage.Beta => options.BetaQuotaBytes,
            _ => options.DefaultQuotaBytes,
        };
        if (quotaBytes is 0 && stage < OrgStage.Paid)
        {
            stage.Require(OrgStage.Paid, org, "Build caches without a quota");
        }
        else if (quotaBytes > most)
        {
            stage.Require(stage == OrgStage.Beta || quotaBytes > options.BetaQuotaBytes ? OrgStage.Paid : OrgStage.Beta, org, $"Quotas above {most} bytes");
        }

        if (anonymousRead)
        {
            stage.Require(Sharing, org, "Caches that anybody may read");
        }

        if (assetHosts is { Count: > 0 })
        {
            stage.Require(Sharing, org, "Remote assets");
        }
    }

    [GeneratedRegex("^[a-z][a-z0-9-]{1,38}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex Name();

    [GeneratedRegex("^(?=.{1,253}\\z)(?:\\*\\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\\z", RegexOptions.CultureInvariant)]
    private static partial Regex Host();
}
