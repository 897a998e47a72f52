using System.Diagnostics.Metrics;
using Slipway.Testing;
using static Slipway.Content.Tests.Tier.TierBlobs;

namespace Slipway.Content.Tests.Tier;

/// <summary>What operators ask of a store that has a bucket.</summary>
[Collection(S3Collection.Name)]
public sealed class TierOperationsTests(S3Server s3) : IAsyncDisposable
{
    private readonly Guid space = Guid.NewGuid();
    private readonly ManualTimeProvider time = new();
    private TierServerUnderTest server = null!;

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync() => await server.DisposeAsync();

    [Fact]
    public async Task A_scrub_reads_what_is_here_and_downloads_nothing()
    {
        await StartAsync(localBytes: 0);
        for (var blob = 0; blob < 20; blob++)
        {
            await server.Space(space).PutAsync(Bytes(blob, 50_000));
        }

        await server.Space(space).PutAsync(Bytes(100, 2_000_000));
        await server.Space(space).Writer.SealAsync(CancellationToken);
        await Eventually.TrueAsync(() => server.Space(space).Segments.All(segment => segment.IsSealed), CancellationToken);
        await server.Tier.FlushAsync(CancellationToken);
        server.Tier.Tidy();
        Directory.EnumerateFiles(server.Path + "/segments").ShouldBeEmpty();
        await server.Space(space).PutAsync(Bytes(200, 70_000));
        var requests = server.Tier.Blocks.Requests;

        foreach (var deep in (bool[])[true, false])
        {
            var report = await server.Store.CheckAsync(new StoreCheckOptions(deep, Quarantine: true, BytesPerSecond: 0), static _ => { }, CancellationToken);
            report.Findings.ShouldBeEmpty();
            report.Blobs.ShouldBe(22);
            report.BytesElsewhere.ShouldBeGreaterThan(3_000_000);
            report.BytesRead.ShouldBeInRange(deep ? 70_000 : 0, deep ? 80_000 : 0);
        }

        server.Tier.Blocks.Requests.ShouldBe(requests);
    }

    [Fact]
    public async Task Metrics_tell_what_waits_for_the_bucket_and_what_failed()
    {
        await StartAsync(localBytes: null);
        await server.Space(space).PutAsync(Bytes(1, 2_000_000));
        server.Tier.Tidy();
        Read("slipway.content.tier.waiting").ShouldBeGreaterThan(2_000_000);
        Read("slipway.content.tier.queue").ShouldBe(2);
        Read("slipway.content.tier.shipped").ShouldBe(0);
        Read("slipway.content.stored").ShouldBeGreaterThan(2_000_000);

        await server.Tier.FlushAsync(CancellationToken);
        server.Tier.Tidy();
        Read("slipway.content.tier.waiting").ShouldBeLessThan(1_000);
        Read("slipway.content.tier.shipped").ShouldBeGreaterThan(2_000_000);
        Read("slipway.content.tier.local").ShouldBeGreaterThan(2_000_000);
        Read("slipway.content.tier.failures").ShouldBe(0);
        Read("slipway.content.tier.failing.age").ShouldBe(0);
    }

    [Fact]
    public async Task Metrics_tell_that_the_bucket_does_not_answer()
    {
        await StartAsync(localBytes: null, endpoint: new Uri("http://127.0.0.1:1"));
        await Should.ThrowAsync<ObjectStorageException>(() => server.Tier.RefreshAsync(CancellationToken));
        Read("slipway.content.tier.failures").ShouldBeGreaterThan(0);
    }

    private async Task StartAsync(long? localBytes, Uri? endpoint = null)
    {
        var bucket = await s3.NewBucketAsync();
        server = new TierServerUnderTest(new TempFolder(), Guid.NewGuid(), bucket with { LocalBytes = localBytes, Endpoint = endpoint ?? bucket.Endpoint }, time);
        await server.StartAsync();
    }

    // Instruments are of the process, but the tests of buckets run one after the other, so no other store here has one.
    private double Read(string name)
    {
        var values = new List<double>();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Name == name)
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<double>((_, value, _, _) => values.Add(value));
        listener.SetMeasurementEventCallback<long>((_, value, _, _) => values.Add(value));
        listener.Start();
        listener.RecordObservableInstruments();
        return values.Max();
    }
}
