using Shouldly;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Grpc;
using Xunit;
using static Slipway.BuildCache.Tests.Reapi.ReapiClient;
using Digest = Slipway.BuildCache.Wire.Protos.Digest;

namespace Slipway.BuildCache.Tests.Reapi;

[Collection(nameof(ReapiCollection))]
public sealed class ChunkTests(BuildCacheServer server)
{
    [Fact]
    public async Task The_chunks_of_a_blob_are_in_the_store_and_make_the_blob()
    {
        using var client = await NewAsync(server);
        foreach (var packed in (bool[])[false, true])
        {
            var bytes = Bytes(6_000_000, seed: packed ? 3 : 2);
            var digest = Sha256Of(bytes);
            await client.WriteAsync(client.WriteName(digest, packed ? "compressed-blobs/zstd" : "blobs"), packed ? Zstd(bytes) : bytes);
            var split = await SplitAsync(client, digest);
            split.ChunkingFunction.ShouldBe(ChunkingFunction.Types.Value.FastCdc2020);
            split.ChunkDigests.Count.ShouldBeGreaterThan(3);
            (await client.MissingAsync([.. split.ChunkDigests])).ShouldBeEmpty();
            List<byte> whole = [];
            foreach (var chunk in split.ChunkDigests)
            {
                whole.AddRange(await client.ReadAsync(client.ReadName(chunk)));
            }

            whole.ToArray().ShouldBe(bytes);
        }
    }

    [Fact]
    public async Task An_insertion_changes_few_chunks()
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(12_000_000);
        byte[] changed = [.. bytes[..6_000_000], 1, 2, 3, .. bytes[6_000_000..]];
        var before = (await SplitAsync(client, await client.PutAsync(bytes))).ChunkDigests;
        var after = (await SplitAsync(client, await client.PutAsync(changed))).ChunkDigests;
        after.Except(before).Count().ShouldBeLessThanOrEqualTo(2);
    }

    [Fact]
    public async Task A_small_blob_is_its_own_chunk_and_the_empty_one_has_none()
    {
        using var client = await NewAsync(server);
        var digest = await client.PutAsync(Bytes(100));
        (await SplitAsync(client, digest)).ChunkDigests.ShouldBe([digest]);
        (await SplitAsync(client, Sha256Of([]))).ChunkDigests.ShouldBeEmpty();
        (await SplitAsync(client, Sha256Of(Bytes(7))).RefusedAsync()).Status.ShouldBe(GrpcStatus.NotFound);
    }

    [Theory]
    [InlineData(3000)]
    [InlineData(3_000_000)]
    public async Task Chunks_are_spliced_to_a_blob(int size)
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(size);
        Digest[] chunks = [await client.PutAsync(bytes[..(size / 3)]), await client.PutAsync(bytes[(size / 3)..]), Sha256Of([])];
        (await SpliceAsync(client, Sha256Of(bytes), chunks)).BlobDigest.ShouldBe(Sha256Of(bytes));
        (await client.ReadAsync(client.ReadName(Sha256Of(bytes)))).ShouldBe(bytes);
        // Once more: it is here already.
        (await SpliceAsync(client, Sha256Of(bytes), chunks)).BlobDigest.ShouldBe(Sha256Of(bytes));
    }

    [Theory]
    [InlineData(3000)]
    [InlineData(3_000_000)]
    public async Task A_splice_that_is_not_its_digest_is_refused(int size)
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(size);
        var first = await client.PutAsync(bytes[..(size / 3)]);
        var second = await client.PutAsync(bytes[(size / 3)..]);
        (await SpliceAsync(client, Sha256Of(bytes), second, first).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await SpliceAsync(client, Sha256Of(bytes), first).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await SpliceAsync(client, Sha256Of(bytes), first, Sha256Of(Bytes(size - size / 3, seed: 9))).RefusedAsync()).Status.ShouldBe(GrpcStatus.NotFound);
        (await client.MissingAsync(Sha256Of(bytes))).Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_reader_may_split_but_not_splice()
    {
        using var owner = await NewAsync(server);
        using var reader = await owner.WithKeyAsync("read");
        var digest = await owner.PutAsync(Bytes(100));
        (await SplitAsync(reader, digest)).ChunkDigests.ShouldBe([digest]);
        (await SpliceAsync(reader, Sha256Of(Bytes(7)), digest).RefusedAsync()).Status.ShouldBe(GrpcStatus.PermissionDenied);
    }

    private static Task<SplitBlobResponse> SplitAsync(ReapiClient client, Digest digest) =>
        client.CallAsync<SplitBlobResponse>(CasPath + "SplitBlob", new SplitBlobRequest { InstanceName = client.Instance, BlobDigest = digest });

    private static Task<SpliceBlobResponse> SpliceAsync(ReapiClient client, Digest digest, params Digest[] chunks) =>
        client.CallAsync<SpliceBlobResponse>(CasPath + "SpliceBlob", new SpliceBlobRequest { InstanceName = client.Instance, BlobDigest = digest, ChunkDigests = { chunks } });
}
