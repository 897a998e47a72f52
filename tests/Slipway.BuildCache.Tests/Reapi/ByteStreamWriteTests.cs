using Google.Protobuf;
using Shouldly;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Grpc;
using Xunit;
using static Slipway.BuildCache.Tests.Reapi.ReapiClient;
using Digest = Slipway.BuildCache.Wire.Protos.Digest;

namespace Slipway.BuildCache.Tests.Reapi;

[Collection(nameof(ReapiCollection))]
public sealed class ByteStreamWriteTests(BuildCacheServer server)
{
    private const string Write = StreamPath + "Write";
    private const string Compressed = "compressed-blobs/zstd";

    [Theory]
    [InlineData(1)]
    [InlineData(1000)]
    [InlineData(5000)]
    [InlineData(100_000)]
    [InlineData(1 << 20)]
    [InlineData(5_000_000)]
    public async Task A_new_blob_is_answered_with_its_size(int size)
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(size);
        (await client.WriteAsync(client.WriteName(Sha256Of(bytes)), bytes)).ShouldBe(size);
        (await client.MissingAsync(Sha256Of(bytes))).ShouldBeEmpty();
    }

    [Fact]
    public async Task A_blake3_blob_has_a_segment_of_its_own_in_the_name()
    {
        using var client = await NewAsync(server);
        foreach (var size in (int[])[500, 2_000_000])
        {
            var bytes = Bytes(size);
            var digest = Blake3Of(bytes);
            (await client.WriteAsync(client.WriteName(digest, "blobs/blake3"), bytes)).ShouldBe(size);
            (await client.ReadAsync(client.ReadName(digest, "blobs/blake3"))).ShouldBe(bytes);
            (await client.ReadAsync(client.ReadName(digest)).RefusedAsync()).Status.ShouldBe(GrpcStatus.NotFound);
        }
    }

    [Fact]
    public async Task Anything_may_follow_the_size_in_a_written_name()
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(50);
        (await client.WriteAsync(client.WriteName(Sha256Of(bytes)) + "/bazel-out/k8/bin/x.o", bytes)).ShouldBe(50);
    }

    [Fact]
    public async Task The_instance_may_have_further_segments()
    {
        using var client = await NewAsync(server);
        using var branch = client.On(client.Instance + "/feature/one");
        var digest = await branch.PutAsync(Bytes(50));
        (await client.MissingAsync(digest)).ShouldBeEmpty();
    }

    [Theory]
    [InlineData(500)]
    [InlineData(2_000_000)]
    public async Task A_duplicate_is_answered_at_once_with_its_size_or_with_minus_one(int size)
    {
        using var client = await NewAsync(server);
        var bytes = Text(size);
        var digest = await client.PutAsync(bytes);
        // Only the first message: whoever waits for the rest waits for ever.
        foreach (var (form, answer) in ((string, long)[])[("blobs", size), (Compressed, -1)])
        {
            await using var call = client.Stream(Write);
            await call.WriteAsync(new WriteRequest { ResourceName = client.WriteName(digest, form), Data = ByteString.CopyFrom(bytes, 0, 10) }.ToByteArray());
            WriteResponse.Parser.ParseFrom(await call.ReadSingleAsync()).CommittedSize.ShouldBe(answer);
        }
    }

    [Fact]
    public async Task Bazel_5_0_hears_how_many_compressed_bytes_its_duplicate_had()
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(300_000);
        var digest = await client.PutAsync(bytes);
        var packed = Zstd(bytes);
        client.Metadata = new RequestMetadata { ToolDetails = new ToolDetails { ToolName = "bazel", ToolVersion = "5.0.0" } };
        (await client.WriteAsync(client.WriteName(digest, Compressed), packed)).ShouldBe(packed.Length);
        client.Metadata.ToolDetails.ToolVersion = "5.1.0";
        (await client.WriteAsync(client.WriteName(digest, Compressed), packed)).ShouldBe(-1);
    }

    [Fact]
    public async Task The_empty_blob_can_be_written()
    {
        using var client = await NewAsync(server);
        (await client.WriteAsync(client.WriteName(Sha256Of([])), Array.Empty<byte>())).ShouldBe(0);
        (await client.WriteAsync(client.WriteName(Blake3Of([]), "blobs/blake3"), Array.Empty<byte>())).ShouldBe(0);
        (await client.WriteAsync(client.WriteName(new Digest { Hash = Sha256Of(Bytes(3)).Hash }), Array.Empty<byte>()).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(200_000)]
    [InlineData(2_000_000)]
    public async Task Lying_digests_store_nothing(int size)
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(size);
        var right = Sha256Of(bytes);
        Digest[] lies =
        [
            new Digest { Hash = Sha256Of(Bytes(size, seed: 2)).Hash, SizeBytes = size },
            new Digest { Hash = right.Hash, SizeBytes = size - 1 },
            new Digest { Hash = right.Hash, SizeBytes = size + 1 },
        ];
        foreach (var lie in lies)
        {
            foreach (var (form, data) in ((string, byte[])[])[("blobs", bytes), (Compressed, Zstd(bytes))])
            {
                (await client.WriteAsync(client.WriteName(lie, form), data).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
                (await client.MissingAsync(lie, right)).ShouldBe([lie, right]);
            }
        }
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(2_000_000)]
    public async Task A_bomb_is_refused_at_its_declared_size(int declared)
    {
        using var client = await NewAsync(server);
        var bomb = Zstd(new byte[64 << 20]);
        var lie = new Digest { Hash = Sha256Of(Bytes(5)).Hash, SizeBytes = declared };
        (await client.WriteAsync(client.WriteName(lie, Compressed), bomb).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(2_000_000)]
    public async Task Frames_that_are_cut_short_or_followed_by_garbage_are_refused(int size)
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(size);
        var name = client.WriteName(Sha256Of(bytes), Compressed);
        var packed = Zstd(bytes);
        (await client.WriteAsync(name, packed[..^1]).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await client.WriteAsync(name, (byte[])[.. packed, 7]).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await client.WriteAsync(name, bytes).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await client.WriteAsync(name, Array.Empty<byte>()).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await client.WriteAsync(name, packed)).ShouldBe(packed.Length);
    }

    [Fact]
    public async Task A_frame_that_saves_nothing_is_stored_unpacked()
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(6);
        var digest = Sha256Of(bytes);
        var packed = Zstd(bytes);
        (await client.WriteAsync(client.WriteName(digest, Compressed), packed)).ShouldBe(packed.Length);
        client.Space.TryFind(KeyOf(digest), out var info).ShouldBeTrue();
        info.StoredLength.ShouldBe(6);
        Unzstd(await client.ReadAsync(client.ReadName(digest, Compressed)), 6).ShouldBe(bytes);
    }

    [Fact]
    public async Task A_stream_without_messages_is_refused_and_the_connection_goes_on()
    {
        using var client = await NewAsync(server);
        await using (var call = client.Stream(Write))
        {
            await call.CompleteAsync();
            (await call.ReadSingleAsync().RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        }

        await client.PutAsync(Bytes(10));
    }

    [Theory]
    [InlineData(100)]
    [InlineData(2_000_000)]
    public async Task A_message_after_finish_write_is_refused(int size)
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(size);
        await using var call = client.Stream(Write);
        await call.WriteAsync(new WriteRequest { ResourceName = client.WriteName(Sha256Of(bytes)), Data = ByteString.CopyFrom(bytes), FinishWrite = true }.ToByteArray());
        await call.WriteAsync(new WriteRequest { WriteOffset = size, Data = ByteString.CopyFrom(1, 2, 3) }.ToByteArray());
        await call.CompleteAsync();
        (await call.ReadSingleAsync().RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(2_000_000)]
    public async Task A_later_message_may_repeat_the_name_but_not_change_it(int size)
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(size);
        foreach (var changes in (bool[])[true, false])
        {
            var name = client.WriteName(Sha256Of(bytes));
            await using var call = client.Stream(Write);
            await call.WriteAsync(new WriteRequest { ResourceName = name, Data = ByteString.CopyFrom(bytes, 0, 10) }.ToByteArray());
            await call.WriteAsync(new WriteRequest
            {
                ResourceName = changes ? client.WriteName(Sha256Of(bytes)) : name, WriteOffset = 10, Data = ByteString.CopyFrom(bytes, 10, size - 10), FinishWrite = true,
            }.ToByteArray());
            await call.CompleteAsync();
            if (changes)
            {
                (await call.ReadSingleAsync().RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
            }
            else
            {
                WriteResponse.Parser.ParseFrom(await call.ReadSingleAsync()).CommittedSize.ShouldBe(size);
            }
        }
    }

    [Theory]
    [InlineData(100)]
    [InlineData(2_000_000)]
    public async Task Offsets_have_to_follow_one_another(int size)
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(size);
        foreach (var wrong in (long[])[0, 9, 11, -1])
        {
            await using var call = client.Stream(Write);
            await call.WriteAsync(new WriteRequest { ResourceName = client.WriteName(Sha256Of(bytes)), Data = ByteString.CopyFrom(bytes, 0, 10) }.ToByteArray());
            await call.WriteAsync(new WriteRequest { WriteOffset = wrong, Data = ByteString.CopyFrom(bytes, 10, size - 10), FinishWrite = true }.ToByteArray());
            await call.CompleteAsync();
            (await call.ReadSingleAsync().RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        }

        (await client.WriteAsync(client.WriteName(Sha256Of(bytes)), bytes, offset: -5).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await client.WriteAsync(client.WriteName(Sha256Of(bytes)), bytes, offset: 5).RefusedAsync()).Status.ShouldBe(GrpcStatus.OutOfRange);
        (await client.MissingAsync(Sha256Of(bytes))).Count.ShouldBe(1);
    }

    [Fact]
    public async Task Concurrent_uploads_of_one_blob_all_succeed()
    {
        using var client = await NewAsync(server);
        foreach (var size in (int[])[3000, 3_000_000])
        {
            var bytes = Bytes(size);
            var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => client.WriteAsync(client.WriteName(Sha256Of(bytes)), bytes)));
            answers.ShouldAllBe(answer => answer == size);
            (await client.ReadAsync(client.ReadName(Sha256Of(bytes)))).ShouldBe(bytes);
        }
    }

    [Fact]
    public async Task A_blob_over_the_caches_limit_is_refused()
    {
        using var client = await NewAsync(server, """
            "maxBlobBytes":1048576
            """);
        var bytes = Bytes((1 << 20) + 1);
        (await client.WriteAsync(client.WriteName(Sha256Of(bytes)), bytes).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        await client.PutAsync(bytes[..^1]);
    }

    [Fact]
    public async Task A_read_only_key_may_not_write_but_old_bazels_are_humoured()
    {
        using var owner = await NewAsync(server);
        using var reader = await owner.WithKeyAsync("read");
        var bytes = Bytes(100);
        var name = reader.WriteName(Sha256Of(bytes));
        (await reader.WriteAsync(name, bytes).RefusedAsync()).Status.ShouldBe(GrpcStatus.PermissionDenied);
        reader.Metadata = new RequestMetadata { ToolDetails = new ToolDetails { ToolName = "bazel", ToolVersion = "7.7.1" } };
        (await reader.WriteAsync(name, bytes).RefusedAsync()).Status.ShouldBe(GrpcStatus.PermissionDenied);
        foreach (var version in (string[])["4.2.3", ""])
        {
            reader.Metadata.ToolDetails.ToolVersion = version;
            (await reader.WriteAsync(name, bytes)).ShouldBe(100);
            (await reader.QueryAsync(name)).Complete.ShouldBeFalse();
        }

        (await owner.MissingAsync(Sha256Of(bytes))).Count.ShouldBe(1);
    }
}
