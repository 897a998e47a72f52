using System.Diagnostics.Metrics;

namespace Slipway.NixCache;

/// <summary>What the caches serve and take, for <c>/metrics</c>. No label per cache: their number is not bounded.</summary>
internal sealed class NixServingMetrics
{
    private readonly Counter<long> hits;
    private readonly Counter<long> misses;
    private readonly Counter<long> narBytes;
    private readonly Counter<long> ingestedBytes;
    private readonly Counter<long> pathsAdded;
    private readonly Counter<long> rejected;

    public NixServingMetrics(IMeterFactory meters)
    {
        var meter = meters.Create("Slipway.NixCache");
        hits = meter.CreateCounter<long>("slipway_nix_narinfo_hits", description: "narinfo requests answered with a path.");
        misses = meter.CreateCounter<long>("slipway_nix_narinfo_misses", description: "narinfo requests for paths that are not there.");
        narBytes = meter.CreateCounter<long>("slipway_nix_nar_sent", "By", "NAR file bytes sent.");
        ingestedBytes = meter.CreateCounter<long>("slipway_nix_nar_ingested", "By", "NAR bytes verified, uncompressed.");
        pathsAdded = meter.CreateCounter<long>("slipway_nix_paths_added", description: "Paths that became visible.");
        rejected = meter.CreateCounter<long>("slipway_nix_uploads_rejected", description: "Uploads refused for what was in them.");
    }

    public void NarInfo(bool found) => (found ? hits : misses).Add(1);

    public void NarBytes(long bytes) => narBytes.Add(bytes);

    public void Ingested(long narBytes) => ingestedBytes.Add(narBytes);

    public void Added(int paths) => pathsAdded.Add(paths);

    public void Rejected() => rejected.Add(1);
}
