using static Slipway.Content.Tests.Uploading;

namespace Slipway.Content.Tests;

public sealed class SpaceContentStoreTests : IAsyncDisposable
{
    private readonly Folder folder = new();

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => folder.DisposeAsync();

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(256 * 1024)]
    [InlineData(256 * 1024 + 1)]
    [InlineData(3_000_000)]
    public async Task Blob_comes_back_byte_for_byte_under_the_digest_of_its_bytes(int length)
    {
        var store = await folder.OpenAsync();
        var bytes = Bytes(length);

        var digest = await store.PutAsync(bytes);

        digest.ShouldBe(Digest.Of(bytes));
        (await store.GetAsync(digest)).ShouldBe(bytes);
        folder.Uploads.ShouldBeEmpty();
    }

    [Fact]
    public async Task Writes_of_any_size_add_up_to_the_same_blob()
    {
        var store = await folder.OpenAsync();
        var bytes = Bytes(2_000_000);
        var sizes = new Random(7);
        await using var upload = await store.BeginUploadAsync(null, CancellationToken);
        for (var written = 0; written < bytes.Length;)
        {
            var count = Math.Min(sizes.Next(0, 2) == 0 ? sizes.Next(0, 5_000) : sizes.Next(0, 600_000), bytes.Length - written);
            await upload.WriteAsync(bytes.AsMemory(written, count), CancellationToken);
            written += count;
            upload.BytesWritten.ShouldBe(written);
        }

        var digest = await upload.CommitAsync(Digest.Of(bytes), CancellationToken);

        (await store.GetAsync(digest)).ShouldBe(bytes);
    }

    [Fact]
    public async Task Range_can_be_read_anywhere_and_nothing_comes_after_the_end()
    {
        var store = await folder.OpenAsync();
        var bytes = Bytes(100_000);
        await using var reader = (await store.OpenAsync(await store.PutAsync(bytes), CancellationToken)).ShouldNotBeNull();
        var buffer = new byte[100];

        (await reader.ReadAsync(buffer, 99_950, CancellationToken)).ShouldBe(50);
        buffer.AsSpan(0, 50).ToArray().ShouldBe(bytes[99_950..]);
        (await reader.ReadAsync(buffer, 31_337, CancellationToken)).ShouldBe(100);
        buffer.ShouldBe(bytes[31_337..31_437]);
        (await reader.ReadAsync(buffer, 100_000, CancellationToken)).ShouldBe(0);
        (await reader.ReadAsync(buffer, 5_000_000_000, CancellationToken)).ShouldBe(0);
    }

    [Fact]
    public async Task Reader_names_the_file_whose_bytes_are_the_blob()
    {
        var store = await folder.OpenAsync();
        var bytes = Bytes(1000);
        await using var reader = (await store.OpenAsync(await store.PutAsync(bytes), CancellationToken)).ShouldNotBeNull();

        var range = reader.File.ShouldNotBeNull();

        File.ReadAllBytes(range.Path)[(int)range.Offset..][..1000].ShouldBe(bytes);
    }

    [Fact]
    public async Task Unknown_blob_is_null_and_missing()
    {
        var store = await folder.OpenAsync();
        var here = await store.PutAsync(Bytes(10, seed: 1));
        Digest absent = Digest.Of(Bytes(10, seed: 2)), absentToo = Digest.Of(Bytes(10, seed: 3));

        (await store.OpenAsync(absent, CancellationToken)).ShouldBeNull();
        (await store.FindMissingAsync([absent, here, absentToo], CancellationToken)).ShouldBe([absent, absentToo]);
    }

    [Fact]
    public async Task Bytes_that_are_not_those_announced_are_refused_and_leave_nothing()
    {
        var store = await folder.OpenAsync();
        var bytes = Bytes(1000);

        var refusal = await Should.ThrowAsync<ContentStoreException>(() => store.PutAsync(bytes, Digest.Of(Bytes(1000, seed: 2))));

        refusal.Failure.ShouldBe(ContentFailure.DigestMismatch);
        (await store.FindMissingAsync([Digest.Of(bytes), Digest.Of(Bytes(1000, seed: 2))], CancellationToken)).Count.ShouldBe(2);
        folder.Uploads.ShouldBeEmpty();
    }

    [Fact]
    public async Task Upload_takes_no_second_commit_and_no_more_bytes()
    {
        var store = await folder.OpenAsync();
        await using var upload = await store.BeginUploadAsync(null, CancellationToken);
        await upload.CommitAsync(null, CancellationToken);

        await Should.ThrowAsync<InvalidOperationException>(async () => await upload.WriteAsync(Bytes(1), CancellationToken));
        await Should.ThrowAsync<InvalidOperationException>(async () => await upload.CommitAsync(null, CancellationToken));
    }

    [Fact]
    public async Task Upload_disposed_without_a_commit_leaves_nothing()
    {
        var store = await folder.OpenAsync();
        await using (var upload = await store.BeginUploadAsync(null, CancellationToken))
        {
            await upload.WriteAsync(Bytes(2_000_000), CancellationToken);
            folder.Uploads.Length.ShouldBe(1);
        }

        folder.Uploads.ShouldBeEmpty();
        (await store.FindMissingAsync([Digest.Of(Bytes(2_000_000))], CancellationToken)).Count.ShouldBe(1);
    }

    [Fact]
    public async Task Upload_whose_process_died_is_swept_when_the_store_is_opened_and_blobs_stay()
    {
        var store = await folder.OpenAsync();
        var kept = await store.PutAsync(Bytes(10));
        var dead = await store.BeginUploadAsync(null, CancellationToken);
        await dead.WriteAsync(Bytes(2_000_000), CancellationToken);
        folder.Uploads.Length.ShouldBe(1);

        store = await folder.OpenAsync();

        folder.Uploads.ShouldBeEmpty();
        (await store.GetAsync(kept)).ShouldBe(Bytes(10));
        await dead.DisposeAsync();
    }

    [Fact]
    public async Task Two_uploads_of_one_digest_at_once_both_succeed()
    {
        var store = await folder.OpenAsync();
        var bytes = Bytes(300_000);

        var digests = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(() => store.PutAsync(bytes))));

        digests.ShouldAllBe(digest => digest == Digest.Of(bytes));
        (await store.GetAsync(digests[0])).ShouldBe(bytes);
        folder.Uploads.ShouldBeEmpty();
    }

    [Fact]
    public async Task Delete_removes_the_blob_but_readers_keep_theirs()
    {
        var store = await folder.OpenAsync();
        var digest = await store.PutAsync(Bytes(1000));
        await using var reader = (await store.OpenAsync(digest, CancellationToken)).ShouldNotBeNull();

        (await store.DeleteAsync(digest, folder.Time.Now.AddSeconds(1), CancellationToken)).ShouldBeTrue();

        (await store.OpenAsync(digest, CancellationToken)).ShouldBeNull();
        (await store.DeleteAsync(digest, folder.Time.Now.AddSeconds(1), CancellationToken)).ShouldBeFalse();
        var buffer = new byte[1000];
        (await reader.ReadAsync(buffer, 0, CancellationToken)).ShouldBe(1000);
        buffer.ShouldBe(Bytes(1000));
    }

    [Fact]
    public async Task Blob_published_again_outlives_a_sweep_that_decided_before()
    {
        var store = await folder.OpenAsync();
        var digest = await store.PutAsync(Bytes(1000));
        var sweepDecided = folder.Time.Now = folder.Time.Now.AddHours(1);
        await store.PutAsync(Bytes(1000));

        (await store.DeleteAsync(digest, sweepDecided, CancellationToken)).ShouldBeFalse();

        (await store.GetAsync(digest)).ShouldBe(Bytes(1000));
    }

    [Fact]
    public async Task Blob_counts_as_published_when_it_is_committed_not_when_it_was_written()
    {
        var store = await folder.OpenAsync();
        await using var upload = await store.BeginUploadAsync(null, CancellationToken);
        await upload.WriteAsync(Bytes(1000), CancellationToken);
        var sweepDecided = folder.Time.Now = folder.Time.Now.AddHours(1);

        var digest = await upload.CommitAsync(null, CancellationToken);

        (await store.DeleteAsync(digest, sweepDecided, CancellationToken)).ShouldBeFalse();
    }

    [Fact]
    public async Task Deletes_racing_with_uploads_never_take_a_blob_published_after_their_decision()
    {
        var store = await folder.OpenAsync();
        var bytes = Bytes(100);
        var digest = Digest.Of(bytes);
        var decided = folder.Time.Now.AddSeconds(1);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(CancellationToken);
        var sweeper = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                await store.DeleteAsync(digest, decided, CancellationToken);
            }
        }, CancellationToken);
        await store.PutAsync(bytes);
        folder.Time.Now = decided;
        for (var round = 0; round < 50; round++)
        {
            await store.PutAsync(bytes);
            (await store.GetAsync(digest)).ShouldBe(bytes);
        }

        await stop.CancelAsync();
        await sweeper;
    }

    [Fact]
    public async Task Publishing_again_heals_a_rotten_file()
    {
        var store = await folder.OpenAsync();
        var digest = await store.PutAsync(Bytes(1000));
        await Rot.FlipAsync(store, digest);

        await store.PutAsync(Bytes(1000));

        (await store.GetAsync(digest)).ShouldBe(Bytes(1000));
    }

    [Fact]
    public async Task Listing_names_every_blob_with_length_and_time_and_no_upload()
    {
        var store = await folder.OpenAsync();
        List<StoredContent> expected = [];
        for (var length = 1; length <= 20; length++)
        {
            folder.Time.Now = folder.Time.Now.AddSeconds(1);
            expected.Add(new StoredContent(await store.PutAsync(Bytes(length)), length, folder.Time.Now));
        }

        await using var upload = await store.BeginUploadAsync(null, CancellationToken);
        await upload.WriteAsync(Bytes(2_000_000), CancellationToken);
        List<StoredContent> listed = [];
        await foreach (var stored in store.ListAsync(CancellationToken))
        {
            listed.Add(stored);
        }

        listed.OrderBy(stored => stored.Length).ShouldBe(expected);
    }

    [Fact]
    public async Task Probe_of_a_good_store_tells_free_bytes_and_leaves_nothing()
    {
        var store = await folder.OpenAsync();

        var health = await store.ProbeAsync(CancellationToken);

        health.ShouldBe(health with { Writable = true, Problem = null });
        health.FreeBytes.ShouldBeGreaterThan(0);
        folder.Uploads.ShouldBeEmpty();
    }

    [Fact]
    public async Task Probe_of_a_store_whose_folder_is_gone_says_so()
    {
        var store = await folder.OpenAsync();
        Directory.Delete(Path.Combine(folder.Path, "uploads"));

        var health = await store.ProbeAsync(CancellationToken);

        health.Writable.ShouldBeFalse();
        health.Problem.ShouldNotBeNull().ShouldContain(folder.Path);
    }
}
