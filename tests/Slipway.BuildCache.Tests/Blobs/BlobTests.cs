using System.Security.Cryptography;
using Shouldly;
using Slipway.Api.Client;
using Slipway.Testing;
using Xunit;

namespace Slipway.BuildCache.Tests.Blobs;

/// <summary>Single blobs over HTTP, and that no tenant learns of another's.</summary>
public sealed class BlobTests(BuildCacheServer server) : IClassFixture<BuildCacheServer>
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(1)]
    [InlineData(70_000)]
    [InlineData(5_000_000)]
    public async Task What_was_put_comes_back(int length)
    {
        var name = await server.CacheAsync();
        var bytes = RandomNumberGenerator.GetBytes(length);
        var digest = Convert.ToHexStringLower(SHA256.HashData(bytes));
        using var client = Client(server.Owner);
        await client.PutBuildBlobAsync("acme", name, digest, new MemoryStream(bytes), length, CancellationToken);
        (await client.GetBuildBlobAsync("acme", name, $"sha256:{digest}/{length}", ReadAsync, CancellationToken)).ShouldBe(bytes);
        var stat = await client.StatBuildBlobAsync("acme", name, digest, CancellationToken);
        stat.Bytes.ShouldBe(length);
        stat.Digest.ShouldBe("sha256:" + digest);
        var shown = await server.Client.JsonAsync("GET", $"/v1/orgs/acme/build-caches/{name}", server.Owner, null, CancellationToken);
        shown["blobs"]!.GetValue<long>().ShouldBe(1);
        shown["storedBytes"]!.GetValue<long>().ShouldBeGreaterThanOrEqualTo(length);
    }

    [Fact]
    public async Task The_empty_blob_is_always_there()
    {
        var name = await server.CacheAsync();
        using var client = Client(server.Owner);
        var empty = Convert.ToHexStringLower(SHA256.HashData([]));
        (await client.GetBuildBlobAsync("acme", name, empty, ReadAsync, CancellationToken)).ShouldBeEmpty();
        (await client.StatBuildBlobAsync("acme", name, empty, CancellationToken)).Bytes.ShouldBe(0);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(3_000_000)]
    public async Task Bytes_that_are_not_the_digest_s_are_refused_and_not_kept(int length)
    {
        var name = await server.CacheAsync();
        using var client = Client(server.Owner);
        var digest = Convert.ToHexStringLower(SHA256.HashData("something else"u8));
        var refusal = await Should.ThrowAsync<SlipwayApiException>(() => client.PutBuildBlobAsync("acme", name, digest, new MemoryStream(new byte[length]), length, CancellationToken));
        refusal.Problem.Status.ShouldBe(400);
        (await Should.ThrowAsync<SlipwayApiException>(() => client.StatBuildBlobAsync("acme", name, digest, CancellationToken))).Problem.Status.ShouldBe(404);
    }

    [Fact]
    public async Task A_blob_above_the_cache_s_bound_is_refused_before_its_body()
    {
        var name = await server.CacheAsync(settings: "\"maxBlobBytes\":1048576");
        using var client = Client(server.Owner);
        var bytes = new byte[2 << 20];
        var refusal = await Should.ThrowAsync<SlipwayApiException>(
            () => client.PutBuildBlobAsync("acme", name, Convert.ToHexStringLower(SHA256.HashData(bytes)), new MemoryStream(bytes), bytes.Length, CancellationToken));
        refusal.Problem.Status.ShouldBe(413);
    }

    [Theory]
    [InlineData("xyz")]
    [InlineData("ABCDEF")]
    [InlineData("sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709")]
    public async Task What_is_no_digest_is_told_so(string digest)
    {
        var name = await server.CacheAsync();
        (await server.RefusedAsync("GET", $"/v1/orgs/acme/build-caches/{name}/blobs/{digest}", server.Owner)).Status.ShouldBe(400);
    }

    [Fact]
    public async Task A_tenant_never_learns_that_another_has_its_blob()
    {
        var mine = await server.CacheAsync();
        var theirs = await server.CacheAsync("elsewhere");
        var bytes = RandomNumberGenerator.GetBytes(200_000);
        var digest = Convert.ToHexStringLower(SHA256.HashData(bytes));
        using var me = Client(server.Owner);
        using var they = Client(server.Stranger);
        await me.PutBuildBlobAsync("acme", mine, digest, new MemoryStream(bytes), bytes.Length, CancellationToken);

        // By status and words: as if nobody had it.
        var unknown = Convert.ToHexStringLower(SHA256.HashData("nobody has this"u8));
        var asked = await Should.ThrowAsync<SlipwayApiException>(() => they.StatBuildBlobAsync("elsewhere", theirs, digest, CancellationToken));
        var never = await Should.ThrowAsync<SlipwayApiException>(() => they.StatBuildBlobAsync("elsewhere", theirs, unknown, CancellationToken));
        asked.Problem.Status.ShouldBe(404);
        asked.Problem.Detail!.Replace(digest, "", StringComparison.Ordinal).ShouldBe(never.Problem.Detail!.Replace(unknown, "", StringComparison.Ordinal));

        // By upload: lying about the bytes does not get them either.
        await Should.ThrowAsync<SlipwayApiException>(() => they.PutBuildBlobAsync("elsewhere", theirs, digest, new MemoryStream(new byte[bytes.Length]), bytes.Length, CancellationToken));
        (await Should.ThrowAsync<SlipwayApiException>(() => they.GetBuildBlobAsync("elsewhere", theirs, digest, ReadAsync, CancellationToken))).Problem.Status.ShouldBe(404);

        // By quota: the same blob costs the second tenant what it cost the first.
        var before = server.Service<Slipway.BuildCache.Namespaces.CacheSpaces>().UsageOf(server.Directory.Find("acme", mine)!.Id).LiveBytes;
        await they.PutBuildBlobAsync("elsewhere", theirs, digest, new MemoryStream(bytes), bytes.Length, CancellationToken);
        var spaces = server.Service<Slipway.BuildCache.Namespaces.CacheSpaces>();
        spaces.UsageOf(server.Directory.Find("elsewhere", theirs)!.Id).LiveBytes.ShouldBe(before);
        spaces.UsageOf(server.Directory.Find("acme", mine)!.Id).LiveBytes.ShouldBe(before);
    }

    [Fact]
    public async Task A_deleted_cache_takes_its_blobs_with_it()
    {
        var name = await server.CacheAsync();
        var bytes = RandomNumberGenerator.GetBytes(1000);
        var digest = Convert.ToHexStringLower(SHA256.HashData(bytes));
        using var client = Client(server.Owner);
        await client.PutBuildBlobAsync("acme", name, digest, new MemoryStream(bytes), bytes.Length, CancellationToken);
        await client.DeleteBuildCacheAsync("acme", name, null, CancellationToken);
        await server.Client.JsonAsync("POST", "/v1/orgs/acme/build-caches", server.Owner, $$"""{"name":"{{name}}"}""", CancellationToken);
        (await Should.ThrowAsync<SlipwayApiException>(() => client.StatBuildBlobAsync("acme", name, digest, CancellationToken))).Problem.Status.ShouldBe(404);
    }

    private SlipwayClient Client(string token) => new(new SlipwayClientOptions { Url = server.Running.Server.Url, Token = token, MaxTries = 1 });

    private static async Task<byte[]> ReadAsync(long length, Stream body, CancellationToken cancellationToken)
    {
        using var all = new MemoryStream();
        await body.CopyToAsync(all, cancellationToken);
        all.Length.ShouldBe(length);
        return all.ToArray();
    }
}
