using Shouldly;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Grpc;
using Slipway.Testing;
using Xunit;
using static Slipway.BuildCache.Tests.Reapi.ReapiClient;

namespace Slipway.BuildCache.Tests.Reapi;

[Collection(nameof(ReapiCollection))]
public sealed class CapabilitiesTests(BuildCacheServer server)
{
    [Fact]
    public async Task Old_and_new_clients_find_what_they_look_for()
    {
        using var client = await NewAsync(server);
        var all = await GetAsync(client);
        all.LowApiVersion.ShouldBe(new SemVer { Major = 2 });
        all.HighApiVersion.ShouldBe(new SemVer { Major = 2, Minor = 12 });
        all.ExecutionCapabilities.ShouldBeNull();
        var cache = all.CacheCapabilities;
        cache.DigestFunctions.ShouldBe([DigestFunction.Types.Value.Sha256, DigestFunction.Types.Value.Blake3]);
        cache.MaxBatchTotalSizeBytes.ShouldBe(4 << 20);
        cache.MaxCasBlobSizeBytes.ShouldBeGreaterThan(1 << 20);
        cache.SupportedCompressors.ShouldBe([Compressor.Types.Value.Zstd]);
        cache.SupportedBatchUpdateCompressors.ShouldBe([Compressor.Types.Value.Zstd]);
        (cache.SplitBlobSupport, cache.SpliceBlobSupport).ShouldBe((true, true));
        cache.FastCdc2020Params.AvgChunkSizeBytes.ShouldBe(512u * 1024);
        var range = cache.CachePriorityCapabilities.Priorities.Single();
        (range.MinPriority, range.MaxPriority).ShouldBe((int.MinValue, int.MaxValue));
    }

    [Theory]
    [InlineData("bazel", "4.2.3", true)]
    [InlineData("bazel", "2.1.0", true)]
    [InlineData("bazel", "", true)]
    [InlineData("bazel", "no_version", true)]
    [InlineData("bazel", "5.4.1", true)]
    [InlineData("bazel", "6.0.0", false)]
    [InlineData("bazel", "10.0.0", false)]
    [InlineData("recc", "", false)]
    public async Task A_read_only_client_is_told_the_truth_if_it_can_bear_it(string tool, string version, bool updateEnabled)
    {
        using var owner = await NewAsync(server);
        using var reader = await owner.WithKeyAsync("read");
        reader.Metadata = owner.Metadata = new RequestMetadata { ToolDetails = new ToolDetails { ToolName = tool, ToolVersion = version } };
        (await GetAsync(reader)).CacheCapabilities.ActionCacheUpdateCapabilities.UpdateEnabled.ShouldBe(updateEnabled);
        (await GetAsync(owner)).CacheCapabilities.ActionCacheUpdateCapabilities.UpdateEnabled.ShouldBeTrue();
    }

    [Fact]
    public async Task The_older_metadata_header_is_understood_too()
    {
        using var owner = await NewAsync(server);
        using var reader = await owner.WithKeyAsync("read");
        var metadata = new RequestMetadata { ToolDetails = new ToolDetails { ToolName = "bazel", ToolVersion = "0.29.1" } };
        reader.Headers.Add(GrpcCallOptions.Binary("google.devtools.remoteexecution.v1test.requestmetadata-bin", Google.Protobuf.MessageExtensions.ToByteArray(metadata)));
        (await GetAsync(reader)).CacheCapabilities.ActionCacheUpdateCapabilities.UpdateEnabled.ShouldBeTrue();
    }

    [Theory]
    [InlineData("bazel", "2.1.0", true)]
    [InlineData("bazel", "4.2.3", false)]
    [InlineData("bazel", "", false)]
    [InlineData("recc", "2.1.0", false)]
    public async Task Bazel_2_asks_without_its_credential_and_is_told_what_holds_for_all(string tool, string version, bool answered)
    {
        using var client = await NewAsync(server);
        using var nobody = client.With(null);
        using var nowhere = nobody.On($"{AccessWorld.Org}/not-there");
        nobody.Metadata = nowhere.Metadata = new RequestMetadata { ToolDetails = new ToolDetails { ToolName = tool, ToolVersion = version } };
        if (answered)
        {
            (await GetAsync(nobody)).ShouldBe(await GetAsync(nowhere));
        }
        else
        {
            (await GetAsync(nobody).RefusedAsync()).Status.ShouldBe(GrpcStatus.Unauthenticated);
        }

        using var wrong = client.With("slp_wrong");
        wrong.Metadata = nobody.Metadata;
        (await GetAsync(wrong).RefusedAsync()).Status.ShouldBe(GrpcStatus.Unauthenticated);
    }

    [Fact]
    public async Task A_strangers_question_is_refused_like_that_for_a_cache_that_is_not_there()
    {
        using var client = await NewAsync(server);
        using var stranger = client.With(server.Stranger);
        (await GetAsync(stranger).RefusedAsync()).Status.ShouldBe(GrpcStatus.PermissionDenied);
        using var nobody = client.With(null);
        (await GetAsync(nobody).RefusedAsync()).Status.ShouldBe(GrpcStatus.Unauthenticated);
        using var nowhere = client.On($"{AccessWorld.Org}/not-there");
        (await GetAsync(nowhere).RefusedAsync()).Status.ShouldBe(GrpcStatus.PermissionDenied);
    }

    private static Task<ServerCapabilities> GetAsync(ReapiClient client) =>
        client.CallAsync<ServerCapabilities>(CapabilitiesPath, new GetCapabilitiesRequest { InstanceName = client.Instance });
}
