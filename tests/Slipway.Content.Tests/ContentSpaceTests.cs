using Slipway.Testing;
using static Slipway.Content.Tests.Uploading;

namespace Slipway.Content.Tests;

/// <summary>Spaces on a disk in memory, with segments of 64 KiB: what takes days and gigabytes happens in milliseconds.</summary>
public sealed class ContentSpaceTests
{
    private const int BlobBytes = 4_000;

    private readonly ManualTimeProvider time = new();
    private readonly CrashingVolume volume = new();
    private readonly List<string> reports = [];

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(32 << 10)]
    [InlineData((32 << 10) + 1)]
    [InlineData(ContentSpace.MaxSmall)]
    public async Task Small_blob_comes_back_as_it_was_stored_also_after_a_restart(int length)
    {
        var owner = Guid.NewGuid();
        var store = await OpenAsync();
        var key = await PutAsync(store.Space(owner), Bytes(length));
        (await GetAsync(store.Space(owner), key)).ShouldBe(Bytes(length));
        await store.DisposeAsync();

        await using var again = await OpenAsync();

        (await GetAsync(again.Space(owner), key)).ShouldBe(Bytes(length));
    }

    [Fact]
    public async Task Space_knows_nothing_of_what_is_in_another_one()
    {
        await using var store = await OpenAsync();
        ContentSpace ours = store.Space(Guid.NewGuid()), theirs = store.Space(Guid.NewGuid());
        var key = await PutAsync(theirs, Bytes(BlobBytes));

        ours.TryFind(key, out _).ShouldBeFalse();
        ours.Touch(key, BlobBytes).ShouldBeFalse();
        await PutAsync(ours, Bytes(BlobBytes));
        theirs.Remove(key).ShouldBeTrue();

        (await GetAsync(ours, key)).ShouldBe(Bytes(BlobBytes));
        theirs.Usage.Blobs.ShouldBe(0);
    }

    [Fact]
    public async Task Touch_is_for_the_length_the_blob_has()
    {
        await using var store = await OpenAsync();
        var space = store.Space(Guid.NewGuid());
        var key = await PutAsync(space, Bytes(BlobBytes));

        space.Touch(key, BlobBytes).ShouldBeTrue();
        space.Touch(key, BlobBytes + 1).ShouldBeFalse();
    }

    [Fact]
    public async Task Full_space_gives_up_its_oldest_blobs_and_keeps_what_is_in_use()
    {
        await using var store = await OpenAsync();
        var space = store.Space(Guid.NewGuid());
        space.Quota = 1 << 20;
        var used = await PutAsync(space, Bytes(BlobBytes, seed: -1));
        var unused = await PutAsync(space, Bytes(BlobBytes, seed: -2));
        for (var seed = 0; seed < 1_000; seed++)
        {
            time.Advance(TimeSpan.FromMinutes(1));
            space.Touch(used, BlobBytes).ShouldBeTrue();
            await PutAsync(space, Bytes(BlobBytes, seed));
            space.Usage.StoredBytes.ShouldBeLessThanOrEqualTo(1 << 20);
        }

        (await GetAsync(space, used)).ShouldBe(Bytes(BlobBytes, seed: -1));
        space.TryFind(unused, out _).ShouldBeFalse();
        (await GetAsync(space, KeyOf(Bytes(BlobBytes, 999)))).ShouldBe(Bytes(BlobBytes, 999));
        // At least an hour of them, which is 60; and most of what the quota holds.
        space.Usage.Blobs.ShouldBeGreaterThan(150);
    }

    [Fact]
    public async Task Space_full_of_young_blobs_refuses_instead_of_breaking_a_build()
    {
        await using var store = await OpenAsync();
        var space = store.Space(Guid.NewGuid());
        space.Quota = 300_000;
        var kept = new List<BlobKey>();

        var refusal = await Should.ThrowAsync<ContentStoreException>(async () =>
        {
            for (var seed = 0; ; seed++)
            {
                kept.Add(await PutAsync(space, Bytes(BlobBytes, seed)));
            }
        });

        refusal.Failure.ShouldBe(ContentFailure.QuotaExhausted);
        refusal.Message.ShouldContain("Raise the quota");
        kept.ShouldAllBe(key => space.Touch(key, BlobBytes));

        time.Advance(TimeSpan.FromHours(2));
        await PutAsync(space, Bytes(BlobBytes, -1));
        space.Usage.StoredBytes.ShouldBeLessThanOrEqualTo(300_000);
    }

    [Fact]
    public async Task Large_blobs_are_evicted_with_the_segment_that_names_them()
    {
        await using var store = await OpenAsync();
        var space = store.Space(Guid.NewGuid());
        space.Quota = 20 << 20;
        var first = await PutLargeAsync(space, Bytes(2 << 20, seed: -1));
        for (var seed = 0; seed < 30; seed++)
        {
            time.Advance(TimeSpan.FromMinutes(30));
            await PutLargeAsync(space, Bytes(2 << 20, seed));
        }

        space.TryFind(first, out _).ShouldBeFalse();
        space.Usage.StoredBytes.ShouldBeLessThanOrEqualTo(20 << 20);
        (await GetAsync(space, KeyOf(Bytes(2 << 20, 29)))).ShouldBe(Bytes(2 << 20, 29));
        Enumerable.Range(0, 256).Sum(first => volume.List($"large/{first:x2}").Count).ShouldBe((int)space.Usage.LargeFiles);
    }

    [Fact]
    public async Task Retention_takes_what_nobody_asked_for_though_there_is_room()
    {
        await using var store = await OpenAsync();
        var space = store.Space(Guid.NewGuid());
        space.Retention = TimeSpan.FromDays(7);
        var old = await PutAsync(space, Bytes(BlobBytes, 1));
        var used = await PutAsync(space, Bytes(BlobBytes, 2));
        await space.Writer.SealAsync(CancellationToken);
        await Eventually.TrueAsync(() => space.Segments[0].IsSealed, CancellationToken);
        time.Advance(TimeSpan.FromDays(6));
        space.Touch(used, BlobBytes);
        time.Advance(TimeSpan.FromDays(2));

        await space.Eviction.ExpireAsync(CancellationToken);

        space.TryFind(old, out _).ShouldBeFalse();
        (await GetAsync(space, used)).ShouldBe(Bytes(BlobBytes, 2));
    }

    [Fact]
    public async Task Compaction_gives_removed_bytes_back_and_loses_nothing()
    {
        var owner = Guid.NewGuid();
        var store = await OpenAsync();
        var space = store.Space(owner);
        var keys = new List<BlobKey>();
        for (var seed = 0; seed < 100; seed++)
        {
            keys.Add(await PutAsync(space, Bytes(BlobBytes, seed)));
        }

        foreach (var key in keys.Where((_, at) => at % 4 != 0))
        {
            space.Remove(key).ShouldBeTrue();
        }

        await Eventually.TrueAsync(() => space.Segments.Count(segment => !segment.IsSealed) == 1, CancellationToken);
        var given = await store.CompactAsync(alive: 0.5, CancellationToken);
        await store.DisposeAsync();
        await using var again = await OpenAsync();

        given.ShouldBeGreaterThan(200_000);
        for (var at = 0; at < keys.Count; at++)
        {
            (await GetAsync(again.Space(owner), keys[at])).ShouldBe(at % 4 == 0 ? Bytes(BlobBytes, at) : null);
        }
    }

    [Fact]
    public async Task Rotten_blob_is_a_miss_and_the_next_upload_heals_it()
    {
        await using var store = await OpenAsync();
        var space = store.Space(Guid.NewGuid());
        var key = await PutAsync(space, Bytes(BlobBytes));
        var before = space.LastLossAt;
        time.Advance(TimeSpan.FromMinutes(5));
        Flip(space.Segments[0].Name, 1_000);

        (await GetAsync(space, key)).ShouldBeNull();

        space.TryFind(key, out _).ShouldBeFalse();
        space.LastLossAt.ShouldBe(before + TimeSpan.FromMinutes(5));
        reports.ShouldHaveSingleItem().ShouldContain("quarantined");
        await PutAsync(space, Bytes(BlobBytes));
        (await GetAsync(space, key)).ShouldBe(Bytes(BlobBytes));
    }

    [Fact]
    public async Task Large_blob_whose_file_somebody_deleted_is_missing_until_it_is_uploaded_again()
    {
        await using var store = await OpenAsync();
        var space = store.Space(Guid.NewGuid());
        var key = await PutLargeAsync(space, Bytes(2 << 20));
        volume.Delete(Enumerable.Range(0, 256).SelectMany(first => volume.List($"large/{first:x2}").Select(file => $"large/{first:x2}/{file.Name}")).Single());
        space.TryFind(key, out var info).ShouldBeTrue();

        (await space.OpenAsync(info, CancellationToken)).ShouldBeNull();

        space.TryFind(key, out _).ShouldBeFalse();
        space.Usage.LargeFiles.ShouldBe(0);
        space.Usage.StoredBytes.ShouldBeLessThan(1_000);
        await PutLargeAsync(space, Bytes(2 << 20));
        (await GetAsync(space, key)).ShouldBe(Bytes(2 << 20));
    }

    [Fact]
    public async Task Scrub_finds_rot_in_small_and_large_blobs_and_fsck_only_tells_of_it()
    {
        await using var store = await OpenAsync();
        var space = store.Space(Guid.NewGuid());
        var small = await PutAsync(space, Bytes(BlobBytes));
        var large = await PutLargeAsync(space, Bytes(2 << 20));
        var sound = await PutAsync(space, Bytes(BlobBytes, 3));
        Flip(space.Segments[0].Name, 1_000);
        Flip(volume.List("large/02").Concat(volume.List("large/01")).Select(file => $"large/{file.Name[^2..]}/{file.Name}").Single(), 1_000_000);

        var look = await store.CheckAsync(quarantine: false, bytesPerSecond: 0, CancellationToken);
        look.Faults.ShouldBe(2);
        space.TryFind(small, out _).ShouldBeTrue();

        var scrub = await store.CheckAsync(quarantine: true, bytesPerSecond: 0, CancellationToken);
        scrub.Faults.ShouldBe(2);
        space.TryFind(small, out _).ShouldBeFalse();
        space.TryFind(large, out _).ShouldBeFalse();
        (await GetAsync(space, sound)).ShouldBe(Bytes(BlobBytes, 3));
        volume.List("quarantine").Count.ShouldBe(1);
        (await store.CheckAsync(quarantine: false, bytesPerSecond: 0, CancellationToken)).Findings.ShouldBeEmpty();
    }

    [Fact]
    public async Task Scrub_finds_a_rotten_header_by_the_footer_and_goes_on_behind_it()
    {
        await using var store = await OpenAsync();
        var space = store.Space(Guid.NewGuid());
        var keys = new List<BlobKey>();
        for (var seed = 0; seed < 10; seed++)
        {
            keys.Add(await PutAsync(space, Bytes(BlobBytes, seed)));
        }

        await space.Writer.SealAsync(CancellationToken);
        await space.Segments[0].SealEnded;
        // In the headers of the third and in the payload of the last but one.
        Flip(space.Segments[0].Name, Segment.HeaderSize + (2 * Record.SizeOf(BlobBytes)) + 20);
        Flip(space.Segments[0].Name, Segment.HeaderSize + (8 * Record.SizeOf(BlobBytes)) + 1_000);

        var scrub = await store.CheckAsync(quarantine: true, bytesPerSecond: 0, CancellationToken);

        scrub.Faults.ShouldBe(2, string.Join('\n', scrub.Findings));
        keys.Where(key => !space.TryFind(key, out _)).ShouldBe([keys[2], keys[8]]);
        scrub.Blobs.ShouldBe(8);
    }

    [Fact]
    public async Task A_quick_check_finds_what_is_gone_or_cut_and_reads_no_payload()
    {
        await using var store = await OpenAsync();
        var space = store.Space(Guid.NewGuid());
        await PutAsync(space, Bytes(BlobBytes));
        await PutLargeAsync(space, Bytes(2 << 20));
        var gone = await PutLargeAsync(space, Bytes(3 << 20));
        var quick = new StoreCheckOptions(Deep: false, Quarantine: false, BytesPerSecond: 0);
        Flip(space.Segments[0].Name, 1_000);
        (await store.CheckAsync(quick, static _ => { }, CancellationToken)).Findings.ShouldBeEmpty();

        space.TryFind(gone, out var info).ShouldBeTrue();
        volume.Delete(LargeFile.NameOf(info.Entry.FileNumber));
        Flip(space.Segments[0].Name, 40);
        var report = await store.CheckAsync(quick, static _ => { }, CancellationToken);

        report.Findings.Count.ShouldBe(2);
        report.Findings[0].ShouldContain("its header is not sound");
        report.Findings[1].ShouldContain("is gone");
        report.BytesRead.ShouldBe(0);
    }

    [Fact]
    public async Task A_check_goes_on_behind_the_place_an_earlier_one_has_reached()
    {
        await using var store = await OpenAsync();
        var space = store.Space(Guid.NewGuid());
        for (var seed = 0; seed < 4; seed++)
        {
            await PutAsync(space, Bytes(BlobBytes, seed));
            await space.Writer.SealAsync(CancellationToken);
        }

        var behind = new StoreCheckPlace(space.Owner, space.Segments[1].Number);
        var report = await store.CheckAsync(new StoreCheckOptions(true, true, 0) { After = behind }, static _ => { }, CancellationToken);

        report.Findings.ShouldBeEmpty();
        report.Blobs.ShouldBe(2);
        report.Reached.ShouldBe(new StoreCheckPlace(space.Owner, space.Segments[3].Number));
    }

    [Fact]
    public async Task Last_word_about_an_action_counts_after_a_restart_too()
    {
        var owner = Guid.NewGuid();
        var key = new BlobKey(BlobKind.ActionSha256, Digest.Of("action"u8));
        var store = await OpenAsync();
        for (var version = 1; version <= 40; version++)
        {
            await store.Space(owner).PutAsync(key, Bytes(BlobBytes, version), BlobCodec.Raw, BlobBytes, Durability.Written, CancellationToken);
            (await GetAsync(store.Space(owner), key)).ShouldBe(Bytes(BlobBytes, version));
        }

        // Without a farewell: nothing was written but the log.
        await using var again = volume.AfterKill(new Random(1)).OpenStore();
        await again.Loaded;

        (await GetAsync(again.Space(owner), key)).ShouldBe(Bytes(BlobBytes, 40));
        await store.DisposeAsync();
    }

    [Fact]
    public async Task Index_that_has_rotted_is_made_anew_from_the_segments()
    {
        var owner = Guid.NewGuid();
        var store = await OpenAsync();
        for (var seed = 0; seed < 50; seed++)
        {
            await PutAsync(store.Space(owner), Bytes(BlobBytes, seed));
        }

        await store.DisposeAsync();
        foreach (var at in (long[])[10, 1_500])
        {
            Flip(Checkpoint.NameOf(owner), at);
            await using var again = await OpenAsync();

            for (var seed = 0; seed < 50; seed++)
            {
                (await GetAsync(again.Space(owner), KeyOf(Bytes(BlobBytes, seed)))).ShouldBe(Bytes(BlobBytes, seed));
            }
        }

        reports.Count(report => report.Contains("is made anew", StringComparison.Ordinal)).ShouldBe(2);
    }

    [Fact]
    public async Task Dropped_space_leaves_no_file_and_its_owner_starts_anew()
    {
        await using var store = await OpenAsync();
        var owner = Guid.NewGuid();
        var gone = store.Space(owner);
        var kept = await PutAsync(store.Space(Guid.NewGuid()), Bytes(BlobBytes, 7));
        await PutAsync(gone, Bytes(BlobBytes));
        await PutLargeAsync(gone, Bytes(2 << 20));
        await store.CheckpointAsync(gone, onlyWhenDue: false);

        await store.DropAsync(owner, CancellationToken);

        volume.List("segments").Count.ShouldBe(1);
        volume.List("index").ShouldBeEmpty();
        Enumerable.Range(0, 256).Sum(first => volume.List($"large/{first:x2}").Count).ShouldBe(0);
        store.Space(owner).TryFind(KeyOf(Bytes(BlobBytes)), out _).ShouldBeFalse();
        await Should.ThrowAsync<ContentStoreException>(async () => await PutAsync(gone, Bytes(BlobBytes, 8)));
        store.Spaces.Any(space => space.TryFind(kept, out _)).ShouldBeTrue();
    }

    [Fact]
    public async Task Space_that_fills_the_memory_of_the_indexes_is_refused_and_the_others_go_on()
    {
        await using var store = volume.OpenStore(time: time, indexBudget: 52 * 2_000);
        await store.Loaded;
        var (greedy, modest) = (store.Space(Guid.NewGuid()), store.Space(Guid.NewGuid()));
        await PutAsync(modest, Bytes(10, seed: -1));
        var put = 0;
        var refusal = await Should.ThrowAsync<ContentStoreException>(async () =>
        {
            for (; put < 10_000; put++)
            {
                await PutAsync(greedy, Bytes(10, put));
            }
        });

        (refusal.Failure, refusal.Message.Contains("memory", StringComparison.Ordinal)).ShouldBe((ContentFailure.StoreFull, true));
        put.ShouldBeInRange(1_900, 3_100);
        await PutAsync(modest, Bytes(10, seed: -2));
        (await GetAsync(greedy, KeyOf(Bytes(10, 5)))).ShouldBe(Bytes(10, 5));

        // With room again it goes on.
        for (var at = 0; at < put; at++)
        {
            greedy.Remove(KeyOf(Bytes(10, at)));
        }

        await PutAsync(greedy, Bytes(10, 5));
    }

    [Fact]
    public async Task Uploads_under_way_and_broken_ones_count_to_the_quota()
    {
        await using var store = await OpenAsync();
        var space = store.Space(Guid.NewGuid());
        space.Quota = 4 << 20;
        var bytes = Bytes(3 << 20);
        await using (var one = space.BeginLarge("one"))
        {
            await one.WriteAsync(bytes, CancellationToken);
            await using var beside = space.BeginLarge("beside");
            (await Should.ThrowAsync<ContentStoreException>(async () => await beside.WriteAsync(bytes, CancellationToken))).Failure.ShouldBe(ContentFailure.QuotaExhausted);
            await beside.DiscardAsync();
        }

        // A broken one is given up when there is no room for another; resumed, its bytes are not counted twice.
        space.Usage.StoredBytes.ShouldBeInRange(3 << 20, (3 << 20) + 8192);
        await using (var two = space.BeginLarge("two"))
        {
            await two.WriteAsync(bytes, CancellationToken);
        }

        volume.List("uploads").Count.ShouldBe(1);
        await using (var resumed = space.BeginLarge("two"))
        {
            await resumed.ReadResumedAsync(_ => ValueTask.CompletedTask, CancellationToken);
            await resumed.CommitAsync(KeyOf(bytes), BlobCodec.Raw, bytes.Length, Durability.Written, CancellationToken);
        }

        (await GetAsync(space, KeyOf(bytes))).ShouldBe(bytes);
        space.Usage.StoredBytes.ShouldBeInRange(3 << 20, (3 << 20) + 8192);
        volume.List("uploads").ShouldBeEmpty();
    }

    [Fact]
    public async Task Upload_nobody_resumes_for_a_day_is_deleted_while_the_store_runs_also_one_of_an_earlier_process()
    {
        var owner = Guid.NewGuid();
        var store = await OpenAsync();
        await BreakOffAsync(store, "early");
        await store.DisposeAsync();
        volume.ModifiedAt = time.GetUtcNow();
        await using var again = await OpenAsync();
        await BreakOffAsync(again, "late");
        await BreakOffAsync(again, "nothing", length: 0);
        volume.List("uploads").Count.ShouldBe(2);
        time.Advance(TimeSpan.FromDays(2));
        await Eventually.TrueAsync(() => volume.List("uploads").Count == 0, CancellationToken);
        again.Space(owner).Usage.StoredBytes.ShouldBe(0);

        async Task BreakOffAsync(SegmentStore into, string name, int length = 100_000)
        {
            await using var upload = into.Space(owner).BeginLarge(name);
            await upload.WriteAsync(Bytes(length), CancellationToken);
        }
    }

    [Fact]
    public async Task Upload_with_a_name_goes_on_where_the_last_process_left_it()
    {
        var owner = Guid.NewGuid();
        var bytes = Bytes(3 << 20);
        var store = await OpenAsync();
        await using (var cut = store.Space(owner).BeginLarge("upload-1"))
        {
            await cut.WriteAsync(bytes.AsMemory(0, 1_234_567), CancellationToken);
        }

        await store.DisposeAsync();
        await using var again = await OpenAsync();
        await using var upload = again.Space(owner).BeginLarge("upload-1");

        upload.ResumedLength.ShouldBe(1_234_567);
        var seen = new List<byte>();
        await upload.ReadResumedAsync(
            part =>
            {
                seen.AddRange(part.Span);
                return ValueTask.CompletedTask;
            },
            CancellationToken);
        seen.ToArray().ShouldBe(bytes[..1_234_567]);
        await upload.WriteAsync(bytes.AsMemory(1_234_567), CancellationToken);
        await upload.CommitAsync(KeyOf(bytes), BlobCodec.Raw, bytes.Length, Durability.Written, CancellationToken);
        (await GetAsync(again.Space(owner), KeyOf(bytes))).ShouldBe(bytes);
        again.Space(Guid.NewGuid()).BeginLarge("upload-1").ResumedLength.ShouldBe(0);
    }

    [Fact]
    public async Task Puts_at_the_same_time_all_arrive()
    {
        await using var store = await OpenAsync();
        var space = store.Space(Guid.NewGuid());

        await Task.WhenAll(Enumerable.Range(0, 8).Select(client => Task.Run(async () =>
        {
            for (var at = 0; at < 200; at++)
            {
                await PutAsync(space, Bytes((at * 37) % 9_000, (client * 1_000) + at), at % 10 == 0 ? Durability.Synced : Durability.Written);
            }
        })));

        for (var client = 0; client < 8; client++)
        {
            for (var at = 0; at < 200; at++)
            {
                var bytes = Bytes((at * 37) % 9_000, (client * 1_000) + at);
                (await GetAsync(space, KeyOf(bytes))).ShouldBe(bytes);
            }
        }

        (await store.CheckAsync(quarantine: false, bytesPerSecond: 0, CancellationToken)).Findings.ShouldBeEmpty();
    }

    private async Task<SegmentStore> OpenAsync()
    {
        var store = volume.OpenStore(time: time, reports: reports);
        await store.Loaded;
        return store;
    }

    private static BlobKey KeyOf(byte[] bytes) => new(BlobKind.Sha256, Digest.Of(bytes));

    private static async Task<BlobKey> PutAsync(ContentSpace space, byte[] bytes, Durability durability = Durability.Written)
    {
        await space.PutAsync(KeyOf(bytes), bytes, BlobCodec.Raw, bytes.Length, durability, CancellationToken);
        return KeyOf(bytes);
    }

    private static async Task<BlobKey> PutLargeAsync(ContentSpace space, byte[] bytes)
    {
        await using var upload = space.BeginLarge(resumeName: null);
        await upload.WriteAsync(bytes, CancellationToken);
        await upload.CommitAsync(KeyOf(bytes), BlobCodec.Raw, bytes.Length, Durability.Written, CancellationToken);
        return KeyOf(bytes);
    }

    private static async Task<byte[]?> GetAsync(ContentSpace space, BlobKey key)
    {
        if (!space.TryFind(key, out var info))
        {
            return null;
        }

        if (!info.IsLarge)
        {
            var bytes = new byte[info.StoredLength];
            return await space.ReadAsync(info, bytes, CancellationToken) ? bytes : null;
        }

        await using var reader = (await space.OpenAsync(info, CancellationToken)).ShouldNotBeNull();
        var large = new byte[reader.Length];
        (await reader.ReadAsync(large, 0, CancellationToken)).ShouldBe(large.Length);
        return large;
    }

    private void Flip(string name, long at)
    {
        using var file = volume.Open(name, forWriting: true);
        var bytes = new byte[1];
        file.Read(bytes, at);
        bytes[0] ^= 0x40;
        file.Write(bytes, at);
    }
}
