using Google.Protobuf;
using Shouldly;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Content;
using Slipway.Grpc;
using Xunit;
using static Slipway.BuildCache.Tests.Reapi.ReapiClient;
using Digest = Slipway.BuildCache.Wire.Protos.Digest;

namespace Slipway.BuildCache.Tests.Reapi;

[Collection(nameof(ReapiCollection))]
public sealed class BatchTests(BuildCacheServer server)
{
    [Fact]
    public async Task Missing_blobs_are_told_in_order_and_nothing_else()
    {
        using var client = await NewAsync(server);
        var here = await client.PutAsync(Bytes(100));
        var absent = Enumerable.Range(2, 1000).Select(seed => Sha256Of(Bytes(seed, seed))).ToArray();
        (await client.MissingAsync([absent[0], here, Sha256Of([]), .. absent[1..]])).ShouldBe(absent);
        (await client.MissingAsync(new Digest { Hash = here.Hash, SizeBytes = 99 })).Count.ShouldBe(1);
        (await client.MissingAsync()).ShouldBeEmpty();
    }

    [Fact]
    public async Task The_digest_function_stands_behind_the_digests()
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(100);
        var digest = Blake3Of(bytes);
        await client.WriteAsync(client.WriteName(digest, "blobs/blake3"), bytes);
        var request = new FindMissingBlobsRequest { InstanceName = client.Instance, BlobDigests = { digest, Blake3Of([]) } };
        (await client.CallAsync<FindMissingBlobsResponse>(CasPath + "FindMissingBlobs", request)).MissingBlobDigests.ShouldBe([digest, Blake3Of([])]);
        request.DigestFunction = DigestFunction.Types.Value.Blake3;
        (await client.CallAsync<FindMissingBlobsResponse>(CasPath + "FindMissingBlobs", request)).MissingBlobDigests.ShouldBeEmpty();
        request.DigestFunction = DigestFunction.Types.Value.Sha256Tree;
        (await client.CallAsync<FindMissingBlobsResponse>(CasPath + "FindMissingBlobs", request).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    [Theory]
    [InlineData("", 5)]
    [InlineData("abcdef", 5)]
    [InlineData("XBCDEFGHIJKLMNOPXBCDEFGHIJKLMNOPXBCDEFGHIJKLMNOPXBCDEFGHIJKLMNOP", 5)]
    [InlineData("ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCD", 5)]
    [InlineData("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", -5)]
    public async Task A_digest_that_is_none_is_refused(string hash, long size)
    {
        using var client = await NewAsync(server);
        (await client.MissingAsync(new Digest { Hash = hash, SizeBytes = size }).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    [Fact]
    public async Task Asking_renews_the_last_use()
    {
        using var client = await NewAsync(server);
        var digest = await client.PutAsync(Bytes(100));
        // As long ago as the store remembers: what is asked for now is newer.
        client.Space.TryFind(KeyOf(digest), out var before).ShouldBeTrue();
        await Testing.Eventually.TrueAsync(
            async _ =>
            {
                await client.MissingAsync(digest);
                return client.Space.TryFind(KeyOf(digest), out var after) && after.LastUsed > before.LastUsed;
            },
            TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Every_item_of_an_upload_has_its_own_status()
    {
        using var client = await NewAsync(server);
        var good = Bytes(100);
        var packed = Text(50_000);
        var large = Bytes(1_500_000);
        var request = new BatchUpdateBlobsRequest
        {
            InstanceName = client.Instance,
            Requests =
            {
                Item(Sha256Of(good), good),
                Item(Sha256Of(Bytes(100, seed: 2)), good),
                Item(new Digest { Hash = Sha256Of(good).Hash, SizeBytes = 99 }, good),
                Item(Sha256Of(packed), Zstd(packed), Compressor.Types.Value.Zstd),
                Item(Sha256Of(packed), packed, Compressor.Types.Value.Deflate),
                Item(Sha256Of([]), []),
                Item(Sha256Of(large), large),
                Item(Sha256Of(Bytes(2_000_000)), large),
            },
        };
        var responses = (await client.CallAsync<BatchUpdateBlobsResponse>(CasPath + "BatchUpdateBlobs", request)).Responses;
        responses.Select(response => response.Digest).ShouldBe(request.Requests.Select(item => item.Digest));
        responses.Select(response => (GrpcStatus)response.Status.Code).ShouldBe(
        [
            GrpcStatus.Ok, GrpcStatus.InvalidArgument, GrpcStatus.InvalidArgument, GrpcStatus.Ok, GrpcStatus.InvalidArgument, GrpcStatus.Ok, GrpcStatus.Ok, GrpcStatus.InvalidArgument,
        ]);
        responses[1].Status.Message.ShouldContain("hash");
        (await client.MissingAsync(Sha256Of(good), Sha256Of(packed), Sha256Of(large))).ShouldBeEmpty();
        client.Space.TryFind(KeyOf(Sha256Of(packed)), out var info).ShouldBeTrue();
        info.Codec.ShouldBe(BlobCodec.Zstd);
        (await client.ReadAsync(client.ReadName(Sha256Of(packed)))).ShouldBe(packed);
    }

    [Fact]
    public async Task A_batch_over_the_limit_is_an_invalid_argument_and_not_a_reset()
    {
        using var client = await NewAsync(server);
        var blobs = Enumerable.Range(0, 9).Select(seed => Bytes(1_000_000, seed)).ToArray();
        BatchUpdateBlobsRequest Request(int count) => new() { InstanceName = client.Instance, Requests = { blobs.Take(count).Select(blob => Item(Sha256Of(blob), blob)) } };
        // More than is advertised, as casupload does.
        (await client.CallAsync<BatchUpdateBlobsResponse>(CasPath + "BatchUpdateBlobs", Request(5))).Responses.ShouldAllBe(response => response.Status.Code == 0);
        (await client.CallAsync<BatchUpdateBlobsResponse>(CasPath + "BatchUpdateBlobs", Request(9)).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        var read = new BatchReadBlobsRequest { InstanceName = client.Instance, Digests = { blobs.Take(9).Select(blob => Sha256Of(blob)) } };
        (await client.CallAsync<BatchReadBlobsResponse>(CasPath + "BatchReadBlobs", read).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    [Fact]
    public async Task Every_item_of_a_read_has_its_own_status()
    {
        using var client = await NewAsync(server);
        var plain = Bytes(100);
        var packed = Text(50_000);
        var large = Bytes(1_500_000);
        await client.PutAsync(plain);
        await client.PutAsync(large);
        await client.WriteAsync(client.WriteName(Sha256Of(packed), "compressed-blobs/zstd"), Zstd(packed));
        var request = new BatchReadBlobsRequest
        {
            InstanceName = client.Instance,
            Digests = { Sha256Of(plain), Sha256Of(Bytes(7)), Sha256Of(packed), Sha256Of([]), Sha256Of(large) },
        };
        var responses = (await client.CallAsync<BatchReadBlobsResponse>(CasPath + "BatchReadBlobs", request)).Responses;
        responses.Select(response => response.Digest).ShouldBe(request.Digests);
        responses.Select(response => (GrpcStatus)(response.Status?.Code ?? 0)).ShouldBe([GrpcStatus.Ok, GrpcStatus.NotFound, GrpcStatus.Ok, GrpcStatus.Ok, GrpcStatus.Ok]);
        responses.Select(response => response.Data.ToByteArray()).ShouldBe([plain, [], packed, [], large]);
        responses.ShouldAllBe(response => response.Compressor == Compressor.Types.Value.Identity);

        request.AcceptableCompressors.Add(Compressor.Types.Value.Zstd);
        responses = (await client.CallAsync<BatchReadBlobsResponse>(CasPath + "BatchReadBlobs", request)).Responses;
        responses[0].Compressor.ShouldBe(Compressor.Types.Value.Identity);
        responses[2].Compressor.ShouldBe(Compressor.Types.Value.Zstd);
        Unzstd(responses[2].Data.Span, packed.Length).ShouldBe(packed);
    }

    [Fact]
    public async Task A_key_that_may_only_write_reads_nothing()
    {
        using var owner = await NewAsync(server);
        using var writer = await owner.WithKeyAsync("write");
        var digest = await writer.PutAsync(Bytes(10));
        (await writer.MissingAsync(digest).RefusedAsync()).Status.ShouldBe(GrpcStatus.PermissionDenied);
        (await writer.ReadAsync(writer.ReadName(digest)).RefusedAsync()).Status.ShouldBe(GrpcStatus.PermissionDenied);
    }

    [Fact]
    public async Task Noise_is_refused_and_not_a_failure_of_the_server()
    {
        using var client = await NewAsync(server);
        foreach (var path in (string[])
            ["FindMissingBlobs", "BatchUpdateBlobs", "BatchReadBlobs", "SplitBlob", "SpliceBlob"])
        {
            for (var seed = 0; seed < 20; seed++)
            {
                var status = (await client.SendAsync(CasPath + path, Bytes(1 + seed * 7, seed)).RefusedAsync()).Status;
                status.ShouldBeOneOf(GrpcStatus.InvalidArgument, GrpcStatus.PermissionDenied);
            }
        }
    }

    private static BatchUpdateBlobsRequest.Types.Request Item(Digest digest, byte[] data, Compressor.Types.Value compressor = Compressor.Types.Value.Identity) =>
        new() { Digest = digest, Data = ByteString.CopyFrom(data), Compressor = compressor };
}
