using System.CommandLine;
using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.BuildCaches;

/// <summary><c>slipway buildcache show CACHE</c></summary>
internal sealed class BuildCacheShow : Verb
{
    private readonly Argument<string> cache;

    public BuildCacheShow()
        : base("show", "Show a build cache")
    {
        cache = Positional("CACHE", "org/name, or name in the default org");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.BuildCache(run.Get(cache));
        var found = await run.Client.GetBuildCacheAsync(org, name, cancellationToken);
        run.Write(found.Value, json => json.BuildCache, one => one.InstanceName, one => Print(one, run));
        return ExitCodes.Ok;
    }

    public static void Print(BuildCache cache, Invocation run) => new Fields()
        .Add("build cache", cache.InstanceName)
        .Add("grpc", cache.GrpcUrl)
        .Add("http", cache.HttpUrl)
        .Add("stored", Stored(cache), cache.StoredBytes.ToString(CultureInfo.InvariantCulture))
        .Add("blobs", Figures.Count(cache.Blobs), cache.Blobs.ToString(CultureInfo.InvariantCulture))
        .Add("quota", cache.QuotaBytes is { } quota ? Figures.Bytes(quota) : "none", cache.QuotaBytes?.ToString(CultureInfo.InvariantCulture) ?? "")
        .Add("retention", cache.RetentionDays is { } days ? $"{Figures.Count(days, "day")} without use" : "what fits the quota", cache.RetentionDays?.ToString(CultureInfo.InvariantCulture) ?? "")
        .Add("largest blob", Figures.Bytes(cache.MaxBlobBytes), cache.MaxBlobBytes.ToString(CultureInfo.InvariantCulture))
        .Add("may be read by", cache.AnonymousRead ? "anyone" : "members and keys of the org")
        .Add("http actions", cache.ValidateActions ? "checked: must be action results, with all outputs here" : "taken as they come")
        .Add("asset host", cache.AssetHosts)
        .Add("stage", cache.Stage)
        .Add("id", cache.Id)
        .When("created", cache.CreatedAt, run.Now)
        .Write(run.Terminal);

    private static string Stored(BuildCache cache) => cache.QuotaBytes is { } quota
        ? string.Create(CultureInfo.InvariantCulture, $"{Figures.Bytes(cache.StoredBytes)} ({100.0 * cache.StoredBytes / quota:0.#} % of the quota)")
        : Figures.Bytes(cache.StoredBytes);
}
