using Slipway.Testing;
using static Slipway.Content.Tests.Tier.TierBlobs;

namespace Slipway.Content.Tests.Tier;

[Collection(S3Collection.Name)]
[Trait("speed", "slow")]
public sealed class StorageTierTests(S3Server s3) : IAsyncDisposable
{
    private readonly Guid storeId = Guid.NewGuid();
    private readonly Guid space = Guid.NewGuid();
    private readonly ManualTimeProvider time = new();
    private readonly List<IAsyncDisposable> mine = [];

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync()
    {
        foreach (var one in Enumerable.Reverse(mine))
        {
            await one.DisposeAsync();
        }
    }

    [Fact]
    public async Task Store_without_local_bytes_serves_everything_from_the_bucket_also_after_a_restart()
    {
        var server = await StartAsync(localBytes: 0);
        var blobs = await FillAsync(server);
        await server.Tier.FlushAsync(CancellationToken);

        server.Tier.Tidy();

        Directory.EnumerateFiles(server.Path + "/large", "*", SearchOption.AllDirectories).ShouldBeEmpty();
        await server.Space(space).Writer.SealAsync(CancellationToken);
        await Eventually.TrueAsync(() => server.Space(space).Segments.All(segment => segment.IsSealed), CancellationToken);
        server.Tier.Tidy();
        Directory.EnumerateFiles(server.Path + "/segments").ShouldBeEmpty();
        await ShouldHaveAsync(server, blobs);
        await server.RestartAsync();
        await ShouldHaveAsync(server, blobs);
        server.Tier.Blocks.Requests.ShouldBeGreaterThan(0);
    }

    [Fact]
    public async Task New_machine_with_an_empty_disk_finds_everything_that_was_shipped()
    {
        var first = await StartAsync();
        var blobs = await FillAsync(first);
        await first.Tier.FlushAsync(CancellationToken);
        await first.StopAsync();

        var second = await StartAsync(sharing: first);
        await second.Tier.RefreshAsync(CancellationToken);

        await ShouldHaveAsync(second, blobs);
        await second.RestartAsync();
        await ShouldHaveAsync(second, blobs);
    }

    [Fact]
    public async Task What_was_put_on_one_server_is_found_on_the_other_and_grows_there()
    {
        var first = await StartAsync();
        var second = await StartAsync(sharing: first);
        for (var round = 0; round < 3; round++)
        {
            var mine = await first.Space(space).PutAsync(Bytes(round, 5000));
            var theirs = await second.Space(space).PutAsync(Bytes(100 + round, 2_000_000));
            (await second.Space(space).GetAsync(mine)).ShouldBeNull();
            await first.Tier.FlushAsync(CancellationToken);
            await second.Tier.FlushAsync(CancellationToken);
            await first.Tier.RefreshAsync(CancellationToken);
            await second.Tier.RefreshAsync(CancellationToken);

            (await second.Space(space).GetAsync(mine)).ShouldBe(Bytes(round, 5000));
            (await first.Space(space).GetAsync(theirs)).ShouldBe(Bytes(100 + round, 2_000_000));
        }

        // One open segment each: it grew, so it is one segment for the other server too.
        first.Space(space).Usage.Segments.ShouldBe(2);
        first.Space(space).Usage.Blobs.ShouldBe(6);
        second.Space(space).Usage.ShouldBe(first.Space(space).Usage);
        await second.RestartAsync();
        (await second.Space(space).GetAsync(KeyOf(Bytes(1, 5000)))).ShouldBe(Bytes(1, 5000));
    }

    [Fact]
    public async Task Everything_acknowledged_is_in_the_bucket_and_on_the_other_server_without_being_asked()
    {
        var first = await StartAsync(timings: TierServerUnderTest.Quick, clock: TimeProvider.System);
        var second = await StartAsync(sharing: first, timings: TierServerUnderTest.Quick, clock: TimeProvider.System);

        var key = await first.Space(space).PutAsync(Bytes(1, 3000));

        await Eventually.TrueAsync(() => second.Space(space).TryFind(key, out _), CancellationToken);
        (await second.Space(space).GetAsync(key)).ShouldBe(Bytes(1, 3000));
        await Eventually.TrueAsync(() => first.Tier.Status.WaitingSince is null, CancellationToken);
    }

    [Fact]
    public async Task Nothing_is_lost_and_what_is_here_is_served_while_the_bucket_is_gone()
    {
        var proxy = Keep(new FaultProxy(s3.Fixture.Port));
        var server = await StartAsync(proxy: proxy, clock: TimeProvider.System);
        var before = await server.Space(space).PutAsync(Bytes(1, 3000));
        await server.Tier.FlushAsync(CancellationToken);

        foreach (var fault in (NetworkFault[])[NetworkFault.Gone, NetworkFault.Answers503, NetworkFault.CutsAnswers])
        {
            proxy.Fault = fault;
            var during = await server.Space(space).PutAsync(Bytes((int)fault + 10, 3000), Durability.Synced);
            await Should.ThrowAsync<ObjectStorageException>(() => server.Tier.FlushAsync(CancellationToken));

            server.Tier.Status.Problem.ShouldNotBeNull();
            server.Tier.Status.WaitingSince.ShouldNotBeNull();
            (await server.Space(space).GetAsync(before)).ShouldBe(Bytes(1, 3000));
            (await server.Space(space).GetAsync(during)).ShouldBe(Bytes((int)fault + 10, 3000));
        }

        // Also when the server is started while it is gone.
        await server.RestartAsync();
        (await server.Space(space).GetAsync(before)).ShouldBe(Bytes(1, 3000));
        proxy.Fault = NetworkFault.None;
        await Eventually.TrueAsync(async token =>
        {
            try
            {
                await server.Tier.FlushAsync(token);
                return true;
            }
            catch (ObjectStorageException)
            {
                return false;
            }
        }, CancellationToken);
        server.Tier.Status.Problem.ShouldBeNull();
        server.Tier.Status.WaitingSince.ShouldBeNull();

        var other = await StartAsync(sharing: server);
        await other.Tier.RefreshAsync(CancellationToken);
        (await other.Space(space).GetAsync(KeyOf(Bytes((int)NetworkFault.Gone + 10, 3000)))).ShouldNotBeNull();
    }

    [Fact]
    public async Task Read_from_a_bucket_that_does_not_answer_is_an_error_and_no_miss()
    {
        var proxy = Keep(new FaultProxy(s3.Fixture.Port));
        var first = await StartAsync();
        var key = await first.Space(space).PutAsync(Bytes(1, 3000));
        await first.Tier.FlushAsync(CancellationToken);
        var second = await StartAsync(sharing: first, proxy: proxy, clock: TimeProvider.System);
        await second.Tier.RefreshAsync(CancellationToken);

        proxy.Fault = NetworkFault.Gone;
        var failure = await Should.ThrowAsync<ContentStoreException>(() => second.Space(space).GetAsync(key));
        proxy.Fault = NetworkFault.None;

        failure.Failure.ShouldBe(ContentFailure.Unavailable);
        failure.ToString().ShouldNotContain(S3Fixture.SecretKey);
        second.Space(space).TryFind(key, out _).ShouldBeTrue();
        await Eventually.TrueAsync(async _ =>
        {
            try
            {
                return await second.Space(space).GetAsync(key) is not null;
            }
            catch (ContentStoreException)
            {
                return false;
            }
        }, CancellationToken);
    }

    [Fact]
    public async Task What_one_server_evicts_stays_on_another_that_uses_it_and_its_object_goes_after_the_delay()
    {
        var first = await StartAsync();
        var second = await StartAsync(sharing: first);
        var used = await first.Space(space).PutAsync(Bytes(1, 3000));
        var usedLarge = await first.Space(space).PutAsync(Bytes(2, 2_000_000));
        var unused = await first.Space(space).PutAsync(Bytes(3, 3000));
        var unusedLarge = await first.Space(space).PutAsync(Bytes(4, 2_000_000));
        await first.Tier.FlushAsync(CancellationToken);
        await second.Tier.RefreshAsync(CancellationToken);
        time.Advance(TimeSpan.FromHours(3));
        second.Space(space).Touch(used, 3000).ShouldBeTrue();
        second.Space(space).Touch(usedLarge, 2_000_000).ShouldBeTrue();

        // The owner evicts all of it: nothing was used there for hours.
        await first.Space(space).Writer.SealAsync(CancellationToken);
        await Eventually.TrueAsync(() => first.Space(space).Segments.All(segment => segment.IsSealed), CancellationToken);
        first.Space(space).Retention = TimeSpan.FromHours(1);
        await first.Space(space).Eviction.ExpireAsync(CancellationToken);
        first.Space(space).Usage.Blobs.ShouldBe(0);
        await TellAsync(first);
        (await ObjectsAsync()).ShouldNotBeEmpty();
        await second.Tier.RefreshAsync(CancellationToken);

        (await second.Space(space).GetAsync(used)).ShouldBe(Bytes(1, 3000));
        (await second.Space(space).GetAsync(usedLarge)).ShouldBe(Bytes(2, 2_000_000));
        second.Space(space).TryFind(unused, out _).ShouldBeFalse();
        second.Space(space).TryFind(unusedLarge, out _).ShouldBeFalse();
        time.Advance(TimeSpan.FromHours(3));
        await first.Tier.DeleteDueAsync(CancellationToken);
        (await ObjectsAsync()).ShouldBeEmpty();
        (await second.Space(space).GetAsync(used)).ShouldBe(Bytes(1, 3000));
        (await second.Space(space).GetAsync(usedLarge)).ShouldBe(Bytes(2, 2_000_000));
    }

    [Fact]
    public async Task Space_dropped_on_one_server_is_gone_on_the_other_and_from_the_bucket()
    {
        var first = await StartAsync();
        var second = await StartAsync(sharing: first);
        await first.Space(space).PutAsync(Bytes(1, 3000));
        await second.Space(space).PutAsync(Bytes(2, 2_000_000));
        var kept = await second.Space(storeId).PutAsync(Bytes(3, 3000));
        await first.Tier.FlushAsync(CancellationToken);
        await second.Tier.FlushAsync(CancellationToken);
        await first.Tier.RefreshAsync(CancellationToken);
        await second.Tier.RefreshAsync(CancellationToken);

        await first.Store.DropAsync(space, CancellationToken);
        await TellAsync(first);
        await second.Tier.RefreshAsync(CancellationToken);
        await TellAsync(second);
        time.Advance(TimeSpan.FromHours(3));
        await first.Tier.DeleteDueAsync(CancellationToken);
        await second.Tier.DeleteDueAsync(CancellationToken);

        second.Store.Spaces.ShouldNotContain(other => other.Owner == space);
        (await ObjectsAsync()).ShouldHaveSingleItem().ShouldContain(storeId.ToString("n"));
        (await second.Space(storeId).GetAsync(kept)).ShouldNotBeNull();
        await first.Tier.RefreshAsync(CancellationToken);
        first.Store.Spaces.ShouldNotContain(other => other.Owner == space);
    }

    [Fact]
    public async Task Action_is_never_seen_on_another_server_before_what_it_refers_to()
    {
        var first = await StartAsync(timings: TierServerUnderTest.Quick, clock: TimeProvider.System);
        var second = await StartAsync(sharing: first, timings: TierServerUnderTest.Quick, clock: TimeProvider.System);
        var dangling = 0;
        for (var i = 0; i < 40; i++)
        {
            var output = await first.Space(space).PutAsync(Bytes(i, i % 10 == 0 ? 1_100_000 : 20_000));
            await first.Space(space).SyncAsync(CancellationToken);
            await first.Space(space).PutAsync(ActionKey(i), output.Hash.AsSpan().ToArray(), BlobCodec.Raw, 32, Durability.Written, CancellationToken);
            for (var j = 0; j <= i; j++)
            {
                if (second.Space(space).TryFind(ActionKey(j), out _) && !second.Space(space).TryFind(KeyOf(Bytes(j, j % 10 == 0 ? 1_100_000 : 20_000)), out _))
                {
                    dangling++;
                }
            }
        }

        await Eventually.TrueAsync(() => second.Space(space).TryFind(ActionKey(39), out _), CancellationToken);
        dangling.ShouldBe(0);
    }

    [Fact]
    public async Task Dead_server_is_taken_over_and_finds_that_out_when_it_comes_back()
    {
        var first = await StartAsync();
        var second = await StartAsync(sharing: first);
        var early = await first.Space(space).PutAsync(Bytes(1, 3000));
        await first.Tier.FlushAsync(CancellationToken);
        await second.Tier.RefreshAsync(CancellationToken);
        time.Advance(TimeSpan.FromDays(2));
        await second.Tier.RefreshAsync(CancellationToken);
        second.Space(space).Segments.ShouldAllBe(segment => !segment.IsForeign);

        // It was only away.
        var late = await first.Space(space).PutAsync(Bytes(2, 3000));
        await first.Tier.FlushAsync(CancellationToken);
        await second.Tier.RefreshAsync(CancellationToken);

        first.Reports.ShouldContain(line => line.Contains("taken over", StringComparison.Ordinal));
        (await second.Space(space).GetAsync(late)).ShouldBe(Bytes(2, 3000));
        (await second.Space(space).GetAsync(early)).ShouldBe(Bytes(1, 3000));
        await first.Tier.RefreshAsync(CancellationToken);
        (await first.Space(space).GetAsync(early)).ShouldBe(Bytes(1, 3000));
        (await first.Space(space).GetAsync(late)).ShouldBe(Bytes(2, 3000));
    }

    [Fact]
    public async Task Latecomer_reads_a_snapshot_when_the_log_is_gone()
    {
        var timings = TierServerUnderTest.Manual with { SnapshotEvery = 5 };
        var first = await StartAsync(timings: timings);
        List<BlobKey> keys = [];
        for (var i = 0; i < 12; i++)
        {
            keys.Add(await first.Space(space).PutAsync(Bytes(i, 3000)));
            await first.Tier.FlushAsync(CancellationToken);
        }

        time.Advance(TimeSpan.FromHours(3));
        await first.Tier.DeleteDueAsync(CancellationToken);
        (await KeysAsync("log/")).Count.ShouldBeLessThan(8);

        var second = await StartAsync(sharing: first);
        await second.Tier.RefreshAsync(CancellationToken);

        foreach (var (i, key) in keys.Index())
        {
            (await second.Space(space).GetAsync(key)).ShouldBe(Bytes(i, 3000));
        }
    }

    [Fact]
    public async Task Store_is_not_opened_without_the_bucket_that_alone_has_some_of_it()
    {
        var server = await StartAsync(localBytes: 0);
        await server.Space(space).PutAsync(Bytes(1, 2_000_000));
        await server.Tier.FlushAsync(CancellationToken);
        server.Tier.Tidy();
        await server.StopAsync();

        await using var stores = new ContentStores(new ContentStoreOptions(), TimeProvider.System, Microsoft.Extensions.Logging.Abstractions.NullLogger<ContentStores>.Instance);
        var refusal = await Should.ThrowAsync<ContentStoreException>(() => stores.OpenAsync(storeId, server.Path, CancellationToken));

        refusal.Message.ShouldContain("only in the bucket");
    }

    private S3Options? bucket;

    private async Task<TierServerUnderTest> StartAsync(
        TierServerUnderTest? sharing = null, FaultProxy? proxy = null, long? localBytes = null, TierTimings? timings = null, TimeProvider? clock = null)
    {
        bucket = sharing is null ? await s3.NewBucketAsync() : bucket;
        var options = bucket! with { LocalBytes = localBytes, Endpoint = proxy is null ? bucket.Endpoint : new Uri($"http://127.0.0.1:{proxy.Port}") };
        var server = Keep(new TierServerUnderTest(new TempFolder(), storeId, options, clock ?? time) { Timings = timings ?? TierServerUnderTest.Manual });
        await server.StartAsync();
        return server;
    }

    private T Keep<T>(T one)
        where T : IAsyncDisposable
    {
        mine.Add(one);
        return one;
    }

    private async Task<List<byte[]>> FillAsync(TierServerUnderTest server)
    {
        List<byte[]> blobs = [];
        for (var i = 0; i < 200; i++)
        {
            blobs.Add(Bytes(i, 10 + (i * 500)));
        }

        blobs.Add(Bytes(1000, 3_000_000));
        blobs.Add(Bytes(1001, ContentSpace.MaxSmall));
        blobs.Add(Bytes(1002, ContentSpace.MaxSmall + 1));
        foreach (var blob in blobs)
        {
            await server.Space(space).PutAsync(blob);
        }

        return blobs;
    }

    private async Task ShouldHaveAsync(TierServerUnderTest server, List<byte[]> blobs)
    {
        foreach (var blob in blobs)
        {
            // Not ShouldBe: it takes a second for three megabytes.
            (await server.Space(space).GetAsync(KeyOf(blob))).AsSpan().SequenceEqual(blob).ShouldBeTrue();
        }
    }

    // What the tick of a running server does about what was given up.
    private static async Task TellAsync(TierServerUnderTest server)
    {
        await server.Tier.FlushAsync(CancellationToken);
        await server.Tier.TellAsync(CancellationToken);
    }

    private Task<List<string>> ObjectsAsync() => KeysAsync("objects/");

    private async Task<List<string>> KeysAsync(string part)
    {
        using var storage = new S3ObjectStorage(bucket!);
        List<string> keys = [];
        await foreach (var found in storage.ListAsync($"stores/{storeId:n}/{part}", null, CancellationToken))
        {
            keys.Add(found.Key);
        }

        return keys;
    }
}
