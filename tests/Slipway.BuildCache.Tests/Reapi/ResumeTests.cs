using Google.Protobuf;
using Shouldly;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Grpc;
using Slipway.Testing;
using Xunit;
using static Slipway.BuildCache.Tests.Reapi.ReapiClient;

namespace Slipway.BuildCache.Tests.Reapi;

[Collection(nameof(ReapiCollection))]
public sealed class ResumeTests(BuildCacheServer server)
{
    private const string Write = StreamPath + "Write";

    [Fact]
    public async Task A_complete_blob_is_reported_with_its_size_or_minus_one()
    {
        using var client = await NewAsync(server);
        foreach (var size in (int[])[0, 100, 2_000_000])
        {
            var digest = await client.PutAsync(Bytes(size));
            var plain = await client.QueryAsync(client.WriteName(digest));
            (plain.CommittedSize, plain.Complete).ShouldBe((size, true));
            var packed = await client.QueryAsync(client.WriteName(digest, "compressed-blobs/zstd"));
            (packed.CommittedSize, packed.Complete).ShouldBe((-1, true));
        }
    }

    [Fact]
    public async Task An_upload_nobody_began_is_at_zero()
    {
        using var client = await NewAsync(server);
        foreach (var size in (int[])[100, 2_000_000])
        {
            foreach (var form in (string[])["blobs", "compressed-blobs/zstd"])
            {
                var status = await client.QueryAsync(client.WriteName(Sha256Of(Bytes(size)), form));
                (status.CommittedSize, status.Complete).ShouldBe((0, false));
            }
        }
    }

    [Fact]
    public async Task A_broken_upload_goes_on_where_it_broke()
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(3_000_000);
        var name = client.WriteName(Sha256Of(bytes));
        await BreakAfterAsync(client, name, bytes, 1_500_000);
        var status = await client.QueryAsync(name);
        (status.CommittedSize, status.Complete).ShouldBe((1_500_000, false));
        (await client.WriteAsync(name, bytes.AsMemory(1_500_000), offset: 1_500_000)).ShouldBe(bytes.Length);
        (await client.ReadAsync(client.ReadName(Sha256Of(bytes)))).ShouldBe(bytes);
    }

    [Fact]
    public async Task A_client_may_resume_before_what_arrived_but_not_beyond()
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(3_000_000);
        var name = client.WriteName(Sha256Of(bytes));
        await BreakAfterAsync(client, name, bytes, 1_500_000);
        (await client.WriteAsync(name, bytes.AsMemory(2_000_000), offset: 2_000_000).RefusedAsync()).Status.ShouldBe(GrpcStatus.OutOfRange);
        (await client.WriteAsync(name, bytes.AsMemory(1_000_001), offset: 1_000_001)).ShouldBe(bytes.Length);
        (await client.ReadAsync(client.ReadName(Sha256Of(bytes)))).ShouldBe(bytes);
    }

    [Fact]
    public async Task A_client_may_begin_anew()
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(3_000_000);
        var name = client.WriteName(Sha256Of(bytes));
        await BreakAfterAsync(client, name, bytes, 1_500_000);
        (await client.WriteAsync(name, bytes)).ShouldBe(bytes.Length);
    }

    [Fact]
    public async Task Another_uuid_resumes_nothing()
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(3_000_000);
        await BreakAfterAsync(client, client.WriteName(Sha256Of(bytes)), bytes, 1_500_000);
        var other = client.WriteName(Sha256Of(bytes));
        (await client.QueryAsync(other)).CommittedSize.ShouldBe(0);
        (await client.WriteAsync(other, bytes.AsMemory(1_500_000), offset: 1_500_000).RefusedAsync()).Status.ShouldBe(GrpcStatus.OutOfRange);
    }

    [Fact]
    public async Task A_half_that_lied_is_thrown_away_with_the_other_half()
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(3_000_000);
        var name = client.WriteName(Sha256Of(bytes));
        await BreakAfterAsync(client, name, Bytes(3_000_000, seed: 2), 1_500_000);
        (await client.WriteAsync(name, bytes.AsMemory(1_500_000), offset: 1_500_000).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await client.QueryAsync(name)).CommittedSize.ShouldBe(0);
        (await client.WriteAsync(name, bytes)).ShouldBe(bytes.Length);
    }

    [Fact]
    public async Task The_newcomer_under_one_uuid_goes_on_and_the_old_stream_is_cut()
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(3_000_000);
        var name = client.WriteName(Sha256Of(bytes));
        await using var old = client.Stream(Write);
        await old.WriteAsync(new WriteRequest { ResourceName = name, Data = ByteString.CopyFrom(bytes, 0, 1_200_000) }.ToByteArray());
        await Eventually.TrueAsync(async _ => (await client.QueryAsync(name)).CommittedSize == 1_200_000, TestContext.Current.CancellationToken);
        (await client.WriteAsync(name, bytes.AsMemory(1_200_000), offset: 1_200_000)).ShouldBe(bytes.Length);
        (await old.ReadSingleAsync().RefusedAsync()).Status.ShouldBe(GrpcStatus.Aborted);
    }

    /// <summary>Sends so much of the data, then closes without finish_write, and waits until the server has it.</summary>
    private static async Task BreakAfterAsync(ReapiClient client, string name, byte[] bytes, int length)
    {
        await using var call = client.Stream(Write);
        for (var at = 0; at < length; at += 100_000)
        {
            await call.WriteAsync(new WriteRequest { ResourceName = at == 0 ? name : "", WriteOffset = at, Data = ByteString.CopyFrom(bytes, at, Math.Min(100_000, length - at)) }.ToByteArray());
        }

        await call.CompleteAsync();
        WriteResponse.Parser.ParseFrom(await call.ReadSingleAsync()).CommittedSize.ShouldBe(length);
    }
}
