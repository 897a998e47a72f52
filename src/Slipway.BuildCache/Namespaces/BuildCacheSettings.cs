using Slipway.BuildCache.Stages;

namespace Slipway.BuildCache.Namespaces;

/// <summary>A build cache at one moment; replaced whole when anything of it changes.</summary>
/// <param name="Id">Also the owner of its space in the content store.</param>
/// <param name="QuotaBytes">Bytes on disk; null: as much as the store takes.</param>
/// <param name="Retention">What nobody used for so long goes; null: only the quota decides.</param>
/// <param name="MaxBlobBytes">The largest blob, unpacked.</param>
/// <param name="ValidateActions">Whether what is put under <c>/ac</c> over HTTP has to be an ActionResult whose outputs are all here.</param>
/// <param name="AnonymousRead">Whether anybody may read, without a credential; false where the stage does not open it.</param>
/// <param name="AssetHosts">Host names the Remote Asset API may fetch from; <c>*.example.org</c> stands for all below it. None where the stage does not open them.</param>
/// <param name="Stage">Of the org.</param>
internal sealed record BuildCacheSettings(
    Guid Id,
    Guid OrgId,
    string Org,
    string Name,
    long? QuotaBytes,
    TimeSpan? Retention,
    long MaxBlobBytes,
    bool ValidateActions,
    bool AnonymousRead,
    IReadOnlyList<string> AssetHosts,
    OrgStage Stage,
    long Version)
{
    public string FullName { get; } = $"{Org}/{Name}";
}
