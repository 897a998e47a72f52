using Slipway.Testing;

namespace Slipway.Content.Tests.Tier;

[Collection(S3Collection.Name)]
[Trait("speed", "slow")]
public sealed class S3ObjectStorageTests(S3Server server)
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_was_written_is_read_back_whole_and_in_ranges()
    {
        using var storage = new S3ObjectStorage(await server.NewBucketAsync(prefix: "here/"));
        var bytes = Bytes(300_000);

        var written = await storage.WriteAsync("a/1", ObjectContent.Of(bytes), CancellationToken);

        written.Length.ShouldBe(300_000);
        written.ShouldBe(await storage.HeadAsync("a/1", CancellationToken));
        (await storage.GetAsync("a/1", null, CancellationToken)).Bytes.ShouldBe(bytes);
        (await storage.GetAsync("a/1", written.Tag, CancellationToken)).Outcome.ShouldBe(FetchOutcome.Unchanged);
        var range = new byte[1000];
        (await storage.ReadAsync("a/1", 299_500, range, CancellationToken)).ShouldBe(500);
        range.AsSpan(0, 500).ToArray().ShouldBe(bytes[299_500..]);
    }

    [Fact]
    public async Task What_is_not_there_is_missing_and_no_error()
    {
        using var storage = new S3ObjectStorage(await server.NewBucketAsync());

        (await storage.HeadAsync("a", CancellationToken)).ShouldBeNull();
        (await storage.ReadAsync("a", 0, new byte[10], CancellationToken)).ShouldBe(-1);
        (await storage.GetAsync("a", null, CancellationToken)).Outcome.ShouldBe(FetchOutcome.Missing);
        await storage.DeleteAsync(["a"], CancellationToken);
    }

    [Fact]
    public async Task File_of_many_parts_arrives_whole()
    {
        using var storage = new S3ObjectStorage(await server.NewBucketAsync());
        // Past the size of one request, and not a multiple of the parts' size.
        var bytes = Bytes(ObjectLimits.OnePutBytes + 12_345);

        await storage.WriteAsync("large", ObjectContent.Of(bytes), CancellationToken);

        var end = new byte[20_000];
        (await storage.ReadAsync("large", bytes.Length - end.Length, end, CancellationToken)).ShouldBe(end.Length);
        end.ShouldBe(bytes[^end.Length..]);
    }

    [Fact]
    public async Task Upload_in_parts_that_nobody_finished_is_abandoned()
    {
        using var storage = new S3ObjectStorage(await server.NewBucketAsync());
        var upload = await storage.StartPartsAsync("x/large", CancellationToken);
        await storage.PutPartAsync("x/large", upload, 1, ObjectContent.Of(Bytes(1000)), CancellationToken);

        (await storage.AbandonPartsAsync("x/", DateTimeOffset.UtcNow.AddHours(-1), CancellationToken)).ShouldBe(0);
        (await storage.AbandonPartsAsync("x/", DateTimeOffset.UtcNow.AddHours(1), CancellationToken)).ShouldBe(1);
        (await storage.AbandonPartsAsync("x/", DateTimeOffset.UtcNow.AddHours(1), CancellationToken)).ShouldBe(0);
    }

    [Fact]
    public async Task Of_many_who_write_what_must_not_be_there_one_succeeds()
    {
        using var storage = new S3ObjectStorage(await server.NewBucketAsync());

        var outcomes = await Task.WhenAll(Enumerable.Range(1, 8).Select(async i =>
        {
            try
            {
                await storage.PutAsync("log/1", ObjectContent.Of(Bytes(i)), PutCondition.IfAbsent, CancellationToken);
                return i;
            }
            catch (ObjectStorageException e) when (e.Failure == ObjectFailure.Conflict)
            {
                return 0;
            }
        }));

        outcomes.Count(outcome => outcome > 0).ShouldBe(1);
        (await storage.HeadAsync("log/1", CancellationToken))!.Length.ShouldBe(outcomes.Max());
        await storage.PutAsync("log/1", ObjectContent.Of(Bytes(9)), PutCondition.Always, CancellationToken);
        (await storage.HeadAsync("log/1", CancellationToken))!.Length.ShouldBe(9);
    }

    [Fact]
    public async Task Listing_goes_on_over_pages_and_leaves_out_other_prefixes()
    {
        using var storage = new S3ObjectStorage(await server.NewBucketAsync(prefix: "p/"));
        await Parallel.ForEachAsync(Enumerable.Range(0, 1010), CancellationToken, async (i, token) =>
            await storage.PutAsync($"list/{i:d4}", ObjectContent.Of(new byte[] { 1 }), PutCondition.Always, token));
        await storage.PutAsync("other", ObjectContent.Of(new byte[] { 1 }), PutCondition.Always, CancellationToken);

        List<string> names = [];
        await foreach (var found in storage.ListAsync("list/", "list/0003", CancellationToken))
        {
            names.Add(found.Key);
        }

        names.ShouldBe(Enumerable.Range(4, 1006).Select(i => $"list/{i:d4}"));

        await storage.DeleteAsync(names, CancellationToken);
        (await storage.HeadAsync("list/1009", CancellationToken)).ShouldBeNull();
        (await storage.HeadAsync("list/0003", CancellationToken)).ShouldNotBeNull();
    }

    [Fact]
    public async Task Wrong_secret_and_wrong_bucket_are_refused_with_a_cure_and_without_the_secret()
    {
        var options = await server.NewBucketAsync();
        using var wrongSecret = new S3ObjectStorage(options with { SecretKey = "guessed-secret" });
        using var wrongBucket = new S3ObjectStorage(options with { Bucket = "nowhere-at-all" });

        var forgery = await Should.ThrowAsync<ObjectStorageException>(async () =>
            await wrongSecret.PutAsync("a", ObjectContent.Of(Bytes(1)), PutCondition.Always, CancellationToken));
        var absence = await Should.ThrowAsync<ObjectStorageException>(async () => await wrongBucket.GetAsync("a", null, CancellationToken));

        forgery.Failure.ShouldBe(ObjectFailure.Refused);
        forgery.Message.ShouldContain("content.s3.secretKey");
        forgery.Message.ShouldNotContain("guessed-secret");
        absence.Failure.ShouldBe(ObjectFailure.Refused);
        absence.Message.ShouldContain("content.s3.bucket");
        (options with { SecretKey = "guessed-secret" }).ToString().ShouldNotContain("guessed-secret");
    }

    [Theory]
    [InlineData(NetworkFault.Gone)]
    [InlineData(NetworkFault.Answers503)]
    [InlineData(NetworkFault.CutsAnswers)]
    [InlineData(NetworkFault.CutsRequests)]
    public async Task Broken_network_is_a_failure_that_may_pass(NetworkFault fault)
    {
        await using var proxy = new FaultProxy(server.Fixture.Port);
        using var storage = new S3ObjectStorage(await server.NewBucketAsync(proxy));
        await storage.PutAsync("a", ObjectContent.Of(Bytes(100_000)), PutCondition.Always, CancellationToken);
        proxy.CutAfterBytes = 1500;

        proxy.Fault = fault;
        var write = await Should.ThrowAsync<ObjectStorageException>(async () =>
            await storage.WriteAsync("a", ObjectContent.Of(Bytes(200_000)), CancellationToken).AsTask().ContinueWith(
                async written => fault == NetworkFault.CutsAnswers && written.IsCompletedSuccessfully
                    ? await storage.ReadAsync("a", 0, new byte[100_000], CancellationToken) : (await written).Length,
                CancellationToken, TaskContinuationOptions.None, TaskScheduler.Default).Unwrap());
        proxy.Fault = NetworkFault.None;

        write.Failure.ShouldBe(ObjectFailure.Unavailable);
        (await storage.HeadAsync("a", CancellationToken)).ShouldNotBeNull();
    }

    private static byte[] Bytes(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }
}
