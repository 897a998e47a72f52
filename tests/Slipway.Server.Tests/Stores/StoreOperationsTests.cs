using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using Dapper;
using Shouldly;
using Slipway.Api;
using Slipway.Api.Client;
using Slipway.Server.Tests.Nix;
using Slipway.Testing;
using Xunit;

namespace Slipway.Server.Tests.Stores;

/// <summary>What operators ask of stores, over HTTP, on the store of the build caches.</summary>
public sealed class StoreOperationsTests : IAsyncLifetime
{
    private const string Store = "buildcache";

    private readonly AcmeServer server = new();
    private SlipwayClient operators = null!;

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        await server.InitializeAsync();
        operators = new SlipwayClient(new SlipwayClientOptions { Url = server.Running.Server.Url, Token = server.World.SuperuserToken });
        await server.Client.JsonAsync("POST", "/v1/orgs/acme/build-caches", server.World.OwnerToken, """{"name":"builds"}""", CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        operators.Dispose();
        await server.DisposeAsync();
    }

    [Theory]
    [InlineData(10_000, 0)]
    [InlineData(3_000_000, 1)]
    public async Task Scrub_sets_aside_what_has_rotted_and_the_next_upload_heals_it(int length, int quarantined)
    {
        var (bytes, digest) = await PutAsync(length);
        await PutAsync(50_000);
        Flip(bytes);
        (await ScrubAsync("default")).ShouldSatisfyAllConditions(other => other.State.ShouldBe("done"), other => other.Faults.ShouldBe(0));

        var scrub = await ScrubAsync(Store);
        scrub.State.ShouldBe("done");
        scrub.Faults.ShouldBe(1);
        scrub.Findings!.Single().ShouldContain(digest);
        scrub.Blobs.ShouldBe(1);
        scrub.BytesRead.ShouldBeGreaterThan(length + 50_000);

        // Asked without reading it first: to read is to find out too.
        (await GetAsync(digest + "/stat")).Status.ShouldBe(HttpStatusCode.NotFound);
        (await GetAsync(digest)).Status.ShouldBe(HttpStatusCode.NotFound);
        (await operators.GetStoreStatsAsync(Store, 10, CancellationToken)).Quarantine.Files.ShouldBe(quarantined);
        await PutAsync(digest, bytes);
        (await GetAsync(digest)).Bytes.ShouldBe(bytes);
        (await ScrubAsync(Store)).Faults.ShouldBe(0);
    }

    [Fact]
    public async Task Fsck_tells_of_rot_when_it_is_deep_and_changes_nothing()
    {
        var (bytes, digest) = await PutAsync(3_000_000);
        Flip(bytes);

        (await operators.FsckAsync(Store, deep: false, CancellationToken)).ShouldSatisfyAllConditions(quick => quick.Clean.ShouldBeTrue(), quick => quick.BlobsChecked.ShouldBe(1));
        for (var attempt = 0; attempt < 2; attempt++)
        {
            var deep = await operators.FsckAsync(Store, deep: true, CancellationToken);
            deep.Clean.ShouldBeFalse();
            deep.Findings.Single().ShouldContain(digest);
        }

        (await operators.FsckAsync("default", deep: true, CancellationToken)).Clean.ShouldBeTrue();
        File.Delete(LargeFiles().Single());
        (await operators.FsckAsync(Store, deep: false, CancellationToken)).Findings.Single().ShouldContain("is gone");
    }

    [Fact]
    public async Task Compaction_gives_back_what_was_written_over()
    {
        for (var version = 0; version < 20; version++)
        {
            (await SendAsync(HttpMethod.Put, "/cache/acme/builds/gradle/0123456789abcdef0123456789abcdef", RandomNumberGenerator.GetBytes(100_000))).Status.ShouldBeOneOf(HttpStatusCode.OK, HttpStatusCode.Created, HttpStatusCode.NoContent);
        }

        var (bytes, digest) = await PutAsync(100_000);
        var before = await operators.GetStoreStatsAsync(Store, 10, CancellationToken);
        before.DeadBytes.ShouldBeGreaterThan(1_800_000);

        var compaction = await operators.CompactStoreAsync(Store, CancellationToken);

        compaction.StoredBefore.ShouldBe(before.StoredBytes);
        compaction.BytesGivenBack.ShouldBeGreaterThan(1_800_000);
        compaction.StoredAfter.ShouldBeLessThan(300_000);
        compaction.DeadAfter.ShouldBeLessThan(1_000);
        Files("segments").Sum(file => new FileInfo(file).Length).ShouldBeLessThan(400_000);
        (await GetAsync(digest)).Bytes.ShouldBe(bytes);
    }

    [Fact]
    public async Task Stats_name_the_build_caches_that_take_most()
    {
        await server.Client.JsonAsync("POST", "/v1/orgs/acme/build-caches", server.World.OwnerToken, """{"name":"empty"}""", CancellationToken);
        await PutAsync(200_000);
        await PutAsync(2_000_000);

        var stats = await operators.GetStoreStatsAsync(Store, 1, CancellationToken);

        stats.Blobs.ShouldBe(2);
        stats.LogicalBytes.ShouldBe(2_200_000);
        stats.LargeFiles.ShouldBe(1);
        stats.Segments.Open.ShouldBe(1);
        stats.StoredBytes.ShouldBeInRange(2_200_000, 2_210_000);
        stats.DiskBytes.ShouldBeGreaterThanOrEqualTo(stats.StoredBytes);
        stats.IndexBytes.ShouldBeGreaterThan(0);
        stats.Tier.ShouldBeNull();
        stats.LastScrub.ShouldBeNull();
        stats.Spaces.Single().ShouldSatisfyAllConditions(space => space.Name.ShouldBe("acme/builds"), space => space.Blobs.ShouldBe(2));
        (await operators.GetStoreStatsAsync("default", 10, CancellationToken)).SpaceCount.ShouldBe(0);
    }

    [Fact]
    public async Task The_store_of_the_build_caches_has_a_name_and_no_row()
    {
        var names = new List<string>();
        await foreach (var store in operators.ListStoresAsync(CancellationToken))
        {
            names.Add(store.Name);
        }

        names.ShouldBe([Store, "default"]);
        (await operators.GetStoreAsync(Store, CancellationToken)).Value.Path.ShouldBe(Path.Combine(server.Running.DataFolder, "buildcache"));
        // What has a row is swept of everything that no Nix cache names.
        await using var connection = await server.Running.Database.OpenConnectionAsync(CancellationToken);
        (await connection.QueryAsync<string>("select name from content_store")).ShouldBe(["default"]);
        (await Should.ThrowAsync<SlipwayApiException>(() => operators.CreateStoreAsync(new CreateStoreRequest(Store), CancellationToken))).Problem.Status.ShouldBe(409);
        (await Should.ThrowAsync<SlipwayApiException>(() => operators.GetStoreStatsAsync("nowhere", 1, CancellationToken))).Problem.Status.ShouldBe(404);
    }

    [Fact]
    public async Task A_store_has_one_scrub_at_a_time_which_can_be_stopped()
    {
        await PutAsync(4_000_000);
        await PutAsync(4_000_000);
        await PutAsync(4_000_000);

        var started = await operators.StartScrubAsync(Store, new StartScrubRequest(1 << 20), CancellationToken);
        started.State.ShouldBe("running");
        started.BytesTotal.ShouldBeGreaterThan(12_000_000);
        (await Should.ThrowAsync<SlipwayApiException>(() => operators.StartScrubAsync(Store, new StartScrubRequest(), CancellationToken))).Problem.Status.ShouldBe(409);
        await Eventually.PassesAsync(async token => (await operators.GetScrubAsync(Store, TimeSpan.Zero, token)).BytesRead.ShouldBeGreaterThan(0), CancellationToken);

        var stopped = await operators.StopScrubAsync(Store, CancellationToken);
        stopped.State.ShouldBe("stopped");
        stopped.BytesRead.ShouldBeLessThan(12_000_000);
        (await operators.GetScrubAsync(Store, TimeSpan.FromSeconds(30), CancellationToken)).EndedAt.ShouldBe(stopped.EndedAt);
        (await operators.GetStoreStatsAsync(Store, 1, CancellationToken)).LastScrub!.State.ShouldBe("stopped");
        (await ScrubAsync(Store)).State.ShouldBe("done");

        var events = new List<string>();
        await foreach (var one in operators.ListEventsAsync(null, 0, CancellationToken))
        {
            events.Add(one.Action);
        }

        events.Where(action => action.StartsWith("store.scrub", StringComparison.Ordinal)).ShouldBe(["store.scrub_started", "store.scrub_stopped", "store.scrub_started"]);
    }

    private async Task<StoreScrub> ScrubAsync(string store)
    {
        await operators.StartScrubAsync(store, new StartScrubRequest(), CancellationToken);
        return await operators.GetScrubAsync(store, TimeSpan.FromSeconds(30), CancellationToken);
    }

    private async Task<(byte[] Bytes, string Digest)> PutAsync(int length)
    {
        var bytes = RandomNumberGenerator.GetBytes(length);
        var digest = Convert.ToHexStringLower(SHA256.HashData(bytes));
        await PutAsync(digest, bytes);
        return (bytes, digest);
    }

    private async Task PutAsync(string digest, byte[] bytes)
    {
        var (status, _) = await SendAsync(HttpMethod.Put, $"/v1/orgs/acme/build-caches/builds/blobs/{digest}", bytes);
        ((int)status).ShouldBeInRange(200, 204);
    }

    private Task<(HttpStatusCode Status, byte[] Bytes)> GetAsync(string digest) => SendAsync(HttpMethod.Get, $"/v1/orgs/acme/build-caches/builds/blobs/{digest}", null);

    private async Task<(HttpStatusCode Status, byte[] Bytes)> SendAsync(HttpMethod method, string path, byte[]? body)
    {
        using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : new ByteArrayContent(body) };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", server.World.OwnerToken);
        using var response = await server.Client.SendAsync(request, CancellationToken);
        return (response.StatusCode, await response.Content.ReadAsByteArrayAsync(CancellationToken));
    }

    private IEnumerable<string> Files(string folder) => Directory.EnumerateFiles(Path.Combine(server.Running.DataFolder, "buildcache", folder), "*", SearchOption.AllDirectories);

    private IEnumerable<string> LargeFiles() => Files("large");

    /// <summary>Changes one byte in the middle of where these lie on the disk.</summary>
    private void Flip(byte[] bytes)
    {
        foreach (var file in Files("segments").Concat(LargeFiles()))
        {
            var there = File.ReadAllBytes(file);
            if (there.AsSpan().IndexOf(bytes) is >= 0 and var at)
            {
                using var handle = File.OpenHandle(file, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
                RandomAccess.Write(handle, [(byte)(bytes[bytes.Length / 2] ^ 0x40)], at + (bytes.Length / 2));
                return;
            }
        }

        throw new InvalidOperationException("The bytes are nowhere on the disk as they are.");
    }
}
