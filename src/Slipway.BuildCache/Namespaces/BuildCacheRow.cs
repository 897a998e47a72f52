using Slipway.Api;
using Slipway.BuildCache.Stages;
using Slipway.Data;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Namespaces;

/// <summary>A build cache as its table has it.</summary>
internal sealed class BuildCacheRow
{
    public const string Select =
        """
        select c.id, c.org_id, o.name as org, c.name, c.quota_bytes, c.retention_days, c.max_blob_bytes, c.validate_actions,
            c.anonymous_read, c.asset_hosts, c.version, c.created_at
        from build_cache c join org o on o.id = c.org_id
        """;

    public Guid Id { get; init; }
    public Guid OrgId { get; init; }
    public string Org { get; init; } = "";
    public string Name { get; init; } = "";
    public long? QuotaBytes { get; init; }
    public int? RetentionDays { get; init; }
    public long MaxBlobBytes { get; init; }
    public bool ValidateActions { get; init; }
    public bool AnonymousRead { get; init; }
    public string[] AssetHosts { get; init; } = [];
    public long Version { get; init; }
    public DateTime CreatedAt { get; init; }

    public string ETag => ETags.Of(Id, Version);

    public string ShownId => EntityId.Show("bcache", Id);

    public string FullName => $"{Org}/{Name}";

    public EventTarget Target => new("build_cache", ShownId, FullName);

    /// <summary>What holds at <paramref name="stage"/>: an org that was moved back keeps what it has set, and loses its effect until it returns.</summary>
    public BuildCacheSettings ToSettings(OrgStage stage) => new(
        Id, OrgId, Org, Name, QuotaBytes, RetentionDays is { } days ? TimeSpan.FromDays(days) : null, MaxBlobBytes, ValidateActions,
        AnonymousRead && stage >= CacheRules.Sharing, stage >= CacheRules.Sharing ? AssetHosts : [], stage, Version);
}
