using System.Diagnostics.Metrics;

namespace Slipway.Content;

/// <summary>What the open stores hold and how their buckets do, asked for when somebody scrapes; one label, the store's name.</summary>
internal static class StoreMetrics
{
    public static void Observe(Meter meter, TimeProvider time, Func<IEnumerable<OpenedStore>> stores)
    {
        Gauge("slipway.content.stored", "By", "Bytes of segments and large files.", store => Sum(store, usage => usage.StoredBytes));
        Gauge("slipway.content.live", "By", "Bytes of records and large files that can be found.", store => Sum(store, usage => usage.LiveBytes));
        Gauge("slipway.content.blobs", "{blob}", "Blobs that can be found.", store => Sum(store, usage => usage.Blobs));
        Gauge("slipway.content.index", "By", "Memory of the indexes.", store => store.Segments.Spaces.Sum(space => space.Index.Bytes));
        TierGauge("slipway.content.tier.shipped", "By", "Bytes of this server's in the bucket.", (store, _) => store.Bucket!.ShippedBytes);
        TierGauge("slipway.content.tier.waiting", "By", "Bytes that are only on this machine.", (_, tier) => tier.NotShippedBytes);
        TierGauge("slipway.content.tier.queue", "{file}", "Segments and large files that are only on this machine.", (_, tier) => tier.NotShippedFiles);
        TierGauge("slipway.content.tier.local", "By", "Bytes of segments and large files on this machine.", (_, tier) => tier.LocalBytes);
        TierGauge("slipway.content.tier.waiting.age", "s", "For how long the oldest acknowledged write is only on this machine; 0: all is in the bucket.", (_, tier) => Since(tier.WaitingSince));
        TierGauge("slipway.content.tier.failing.age", "s", "For how long no request to the bucket has succeeded; 0: the last one did.", (_, tier) => Since(tier.FailingSince));
        meter.CreateObservableCounter(
            "slipway.content.tier.failures", () => Tiers().Select(pair => new Measurement<long>(pair.Tier.FailedRequests, Label(pair.Store))), "{request}", "Requests to the bucket that failed, each attempt.");

        void Gauge(string name, string unit, string description, Func<OpenedStore, long> of) =>
            meter.CreateObservableGauge(name, () => stores().Select(store => new Measurement<long>(of(store), Label(store))), unit, description);

        void TierGauge(string name, string unit, string description, Func<OpenedStore, TierStatus, double> of) =>
            meter.CreateObservableGauge(name, () => Tiers().Select(pair => new Measurement<double>(of(pair.Store, pair.Tier), Label(pair.Store))), unit, description);

        IEnumerable<(OpenedStore Store, TierStatus Tier)> Tiers() => stores().Where(store => store.Bucket is not null).Select(store => (store, store.Bucket!.Status));

        double Since(DateTimeOffset? moment) => moment is { } at ? Math.Max(0, (time.GetUtcNow() - at).TotalSeconds) : 0;
    }

    private static KeyValuePair<string, object?> Label(OpenedStore store) => new("store", store.Name);

    private static long Sum(OpenedStore store, Func<SpaceUsage, long> of) => store.Segments.Spaces.Sum(space => of(space.Usage));
}
