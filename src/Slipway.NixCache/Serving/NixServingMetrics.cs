using System.Diagnostics.Metrics;

namespace Slipway.NixCache;

/// <summary>What the caches serve and take, for <c>/metrics</c>. No label per cache: their number is not bounded.</summary>
internal sealed class NixServingMetrics
{
    private readonly Counter<long> _hits;
    private readonly Counter<long> _misses;
    private readonly Counter<long> _narBytes;
    private readonly Counter<long> _ingestedBytes;
    private readonly Counter<long> _pathsAdded;
    private readonly Counter<long> _rejected;

    public NixServingMetrics(IMeterFactory meters)
    {
        var meter = meters.Create("Slipway.NixCache");
        _hits = meter.CreateCounter<long>("slipway_nix_narinfo_hits", description: "narinfo requests answered with a path.");
        _misses = meter.CreateCounter<long>("slipway_nix_narinfo_misses", description: "narinfo requests for paths that are not there.");
        _narBytes = meter.CreateCounter<long>("slipway_nix_nar_sent", "By", "NAR file bytes sent.");
        _ingestedBytes = meter.CreateCounter<long>("slipway_nix_nar_ingested", "By", "NAR bytes verified, uncompressed.");
        _pathsAdded = meter.CreateCounter<long>("slipway_nix_paths_added", description: "Paths that became visible.");
        _rejected = meter.CreateCounter<long>("slipway_nix_uploads_rejected", description: "Uploads refused for what was in them.");
    }

    public void NarInfo(bool found) => (found ? _hits : _misses).Add(1);

    public void NarBytes(long bytes) => _narBytes.Add(bytes);

    public void Ingested(long narBytes) => _ingestedBytes.Add(narBytes);

    public void Added(int paths) => _pathsAdded.Add(paths);

    public void Rejected() => _rejected.Add(1);
}
