using Shouldly;
using Slipway.BuildCache.Cas;
using Slipway.Content;
using Slipway.Grpc;
using Xunit;
using static Slipway.BuildCache.Tests.Reapi.ReapiClient;
using Digest = Slipway.BuildCache.Wire.Protos.Digest;

namespace Slipway.BuildCache.Tests.Reapi;

[Collection(nameof(ReapiCollection))]
public sealed class ByteStreamReadTests(BuildCacheServer server)
{
    public static TheoryData<int> Sizes => [1, 2, 255, 256, 4096, 70_000, 131_072, 131_073, 1_000_000, (1 << 20) - 1, 1 << 20, 3_000_000];

    [Theory]
    [MemberData(nameof(Sizes))]
    public async Task A_blob_comes_back_as_it_went_in(int size)
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(size);
        var digest = await client.PutAsync(bytes);
        (await client.ReadAsync(client.ReadName(digest))).ShouldBe(bytes);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public async Task A_raw_blob_asked_for_compressed_comes_as_a_frame_of_raw_blocks(int size)
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(size);
        var digest = await client.PutAsync(bytes);
        var frame = await client.ReadAsync(client.ReadName(digest, "compressed-blobs/zstd"));
        Unzstd(frame, size).ShouldBe(bytes);
        frame.LongLength.ShouldBe(RawZstdFrame.Size(size));
    }

    [Theory]
    [InlineData(100)]
    [InlineData(300_000)]
    [InlineData(5_000_000)]
    public async Task A_blob_uploaded_compressed_is_kept_and_served_as_the_client_packed_it(int size)
    {
        using var client = await NewAsync(server);
        var bytes = Text(size);
        var digest = Sha256Of(bytes);
        var packed = Zstd(bytes);
        await client.WriteAsync(client.WriteName(digest, "compressed-blobs/zstd"), packed);
        client.Space.TryFind(KeyOf(digest), out var info).ShouldBeTrue();
        info.Codec.ShouldBe(BlobCodec.Zstd);
        (await client.ReadAsync(client.ReadName(digest, "compressed-blobs/zstd"))).ShouldBe(packed);
        (await client.ReadAsync(client.ReadName(digest))).ShouldBe(bytes);
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(2_000_000)]
    public async Task Offsets_count_uncompressed_bytes_in_every_form(int size)
    {
        using var client = await NewAsync(server);
        foreach (var packed in (bool[])[false, true])
        {
            var bytes = packed ? Text(size) : Bytes(size);
            var digest = Sha256Of(bytes);
            await client.WriteAsync(client.WriteName(digest, packed ? "compressed-blobs/zstd" : "blobs"), packed ? Zstd(bytes) : bytes);
            (await client.ReadAsync(client.ReadName(digest), offset: 321)).ShouldBe(bytes[321..]);
            Unzstd(await client.ReadAsync(client.ReadName(digest, "compressed-blobs/zstd"), offset: 321), size).ShouldBe(bytes[321..]);
        }
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(2_000_000)]
    public async Task A_limit_truncates(int size)
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(size);
        var digest = await client.PutAsync(bytes);
        (await client.ReadAsync(client.ReadName(digest), offset: 10, limit: 7)).ShouldBe(bytes[10..17]);
        (await client.ReadAsync(client.ReadName(digest), offset: size - 3, limit: 100)).ShouldBe(bytes[^3..]);
    }

    [Fact]
    public async Task A_limit_on_a_compressed_read_is_refused()
    {
        using var client = await NewAsync(server);
        var digest = await client.PutAsync(Bytes(100));
        (await client.ReadAsync(client.ReadName(digest, "compressed-blobs/zstd"), limit: 10).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    [Fact]
    public async Task An_offset_at_the_end_gives_nothing_and_one_beyond_it_is_out_of_range()
    {
        using var client = await NewAsync(server);
        var digest = await client.PutAsync(Bytes(100));
        (await client.ReadAsync(client.ReadName(digest), offset: 100)).ShouldBeEmpty();
        Unzstd(await client.ReadAsync(client.ReadName(digest, "compressed-blobs/zstd"), offset: 100), 0).ShouldBeEmpty();
        (await client.ReadAsync(client.ReadName(digest), offset: 101).RefusedAsync()).Status.ShouldBe(GrpcStatus.OutOfRange);
        (await client.ReadAsync(client.ReadName(digest), offset: -1).RefusedAsync()).Status.ShouldBe(GrpcStatus.OutOfRange);
        (await client.ReadAsync(client.ReadName(digest), limit: -1).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    [Fact]
    public async Task An_absent_blob_is_not_found_and_so_is_the_right_hash_with_another_size()
    {
        using var client = await NewAsync(server);
        var digest = await client.PutAsync(Bytes(100));
        (await client.ReadAsync(client.ReadName(Sha256Of(Bytes(9)))).RefusedAsync()).Status.ShouldBe(GrpcStatus.NotFound);
        var refusal = await client.ReadAsync(client.ReadName(new Digest { Hash = digest.Hash, SizeBytes = 99 })).RefusedAsync();
        refusal.Status.ShouldBe(GrpcStatus.NotFound);
        refusal.Message.ShouldContain("another size");
    }

    [Fact]
    public async Task The_empty_blob_is_always_there_for_both_functions()
    {
        using var client = await NewAsync(server);
        foreach (var name in (string[])[client.ReadName(Sha256Of([])), client.ReadName(Blake3Of([]), "blobs/blake3")])
        {
            (await client.ReadAsync(name)).ShouldBeEmpty();
        }

        Unzstd(await client.ReadAsync(client.ReadName(Sha256Of([]), "compressed-blobs/zstd")), 0).ShouldBeEmpty();
        (await client.ReadAsync(client.ReadName(new Digest { Hash = Sha256Of(Bytes(3)).Hash })).RefusedAsync()).Status.ShouldBe(GrpcStatus.NotFound);
    }

    [Theory]
    [InlineData("blobs")]
    [InlineData("{0}/blobs/abc/1")]
    [InlineData("{0}/blobs/{1}/-1")]
    [InlineData("{0}/blobs/{1}/01")]
    [InlineData("{0}/blobs/{1}/1x")]
    [InlineData("{0}/blobs/{1}/5/more")]
    [InlineData("{0}/blobs/sha1/{1}/5")]
    [InlineData("{0}/compressed-blobs/deflate/{1}/5")]
    [InlineData("{0}/compressed-blobs/{1}/5")]
    [InlineData("{0}/actions/blobs/{1}/5")]
    [InlineData("{0}//blobs/{1}/5")]
    [InlineData("/{0}/blobs/{1}/5")]
    public async Task A_name_that_is_none_is_refused(string form)
    {
        using var client = await NewAsync(server);
        var name = string.Format(System.Globalization.CultureInfo.InvariantCulture, form, client.Instance, new string('a', 64));
        (await client.ReadAsync(name).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await client.ReadAsync(client.ReadName(new Digest { Hash = new string('A', 64), SizeBytes = 5 })).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    [Fact]
    public async Task The_resource_name_header_has_to_agree()
    {
        using var client = await NewAsync(server);
        var digest = await client.PutAsync(Bytes(100));
        client.Headers.Add(new("build.bazel.remote.execution.v2.resource-name", client.ReadName(digest)));
        (await client.ReadAsync(client.ReadName(digest))).Length.ShouldBe(100);
        client.Headers[0] = new("build.bazel.remote.execution.v2.resource-name", "another/name");
        (await client.ReadAsync(client.ReadName(digest)).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    [Fact]
    public async Task A_foreign_cache_looks_like_none()
    {
        using var client = await NewAsync(server);
        var digest = await client.PutAsync(Bytes(100));
        using var stranger = client.With(server.Stranger);
        using var nowhere = stranger.On(client.Instance + "x");
        var theirs = await stranger.ReadAsync(stranger.ReadName(digest)).RefusedAsync();
        var none = await nowhere.ReadAsync(nowhere.ReadName(digest)).RefusedAsync();
        theirs.Status.ShouldBe(GrpcStatus.PermissionDenied);
        none.Status.ShouldBe(GrpcStatus.PermissionDenied);
        theirs.Message.Replace(client.Instance, "NAME", StringComparison.Ordinal).ShouldBe(none.Message.Replace(nowhere.Instance, "NAME", StringComparison.Ordinal));
        using var nobody = client.With(null);
        (await nobody.ReadAsync(nobody.ReadName(digest)).RefusedAsync()).Status.ShouldBe(GrpcStatus.Unauthenticated);
    }

    [Fact]
    public async Task A_blob_of_one_cache_is_not_in_another()
    {
        using var client = await NewAsync(server);
        using var other = await NewAsync(server);
        var digest = await client.PutAsync(Bytes(100));
        (await other.ReadAsync(other.ReadName(digest)).RefusedAsync()).Status.ShouldBe(GrpcStatus.NotFound);
        (await other.MissingAsync(digest)).ShouldBe([digest]);
    }
}
