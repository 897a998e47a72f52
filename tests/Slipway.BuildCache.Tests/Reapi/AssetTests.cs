using System.Net;
using System.Security.Cryptography;
using Google.Protobuf.WellKnownTypes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Shouldly;
using Slipway.BuildCache.Assets;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Content;
using Slipway.Grpc;
using Xunit;
using static Slipway.BuildCache.Tests.Reapi.ReapiClient;
using static Slipway.BuildCache.Tests.Reapi.TreeTests;
using Digest = Slipway.BuildCache.Wire.Protos.Digest;
using Status = Slipway.BuildCache.Wire.Protos.Status;

namespace Slipway.BuildCache.Tests.Reapi;

[Collection(nameof(ReapiCollection))]
public sealed class AssetTests(BuildCacheServer server)
{
    private const string Asset = "/build.bazel.remote.asset.v1.";
    private const string Uri = "https://example.org/archive.tar.gz";

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_was_pushed_is_fetched_with_the_qualifiers_in_any_order()
    {
        using var client = await NewAsync(server);
        var digest = await client.PutAsync(Bytes(100));
        await PushAsync(client, digest, push => push.Qualifiers.Add([Qualifier("a", "1"), Qualifier("b", "2")]));
        var found = await FetchAsync(client, fetch =>
        {
            fetch.Uris.Insert(0, "urn:not:known");
            fetch.Qualifiers.Add([Qualifier("b", "2"), Qualifier("a", "1")]);
        });
        found.Status.ShouldBe(new Status());
        found.Uri.ShouldBe(Uri);
        found.BlobDigest.ShouldBe(digest);
        (await FetchAsync(client)).Status.Code.ShouldBe((int)GrpcStatus.NotFound);
        (await FetchAsync(client, fetch => fetch.Qualifiers.Add([Qualifier("a", "1"), Qualifier("b", "3")]))).Status.Code.ShouldBe((int)GrpcStatus.NotFound);
    }

    [Fact]
    public async Task A_hit_needs_the_blob_and_all_it_refers_to()
    {
        using var client = await NewAsync(server);
        var digest = await client.PutAsync(Bytes(100));
        var other = await client.PutAsync(Bytes(200));
        (await PushAsync(client, Sha256Of(Bytes(7))).RefusedAsync()).Status.ShouldBe(GrpcStatus.FailedPrecondition);
        await PushAsync(client, digest, push => push.ReferencesBlobs.Add(other));
        (await FetchAsync(client)).BlobDigest.ShouldBe(digest);
        client.Space.Remove(KeyOf(other)).ShouldBeTrue();
        (await FetchAsync(client)).Status.Code.ShouldBe((int)GrpcStatus.NotFound);
    }

    [Fact]
    public async Task What_has_expired_or_is_older_than_asked_for_is_not_found()
    {
        using var client = await NewAsync(server);
        var digest = await client.PutAsync(Bytes(100));
        await PushAsync(client, digest, push => push.ExpireAt = new Timestamp { Seconds = 1000 });
        (await FetchAsync(client)).Status.Code.ShouldBe((int)GrpcStatus.NotFound);
        var later = new Timestamp { Seconds = DateTimeOffset.UtcNow.AddDays(1).ToUnixTimeSeconds() };
        await PushAsync(client, digest, push => push.ExpireAt = later);
        (await FetchAsync(client)).ExpiresAt.ShouldBe(later);
        (await FetchAsync(client, fetch => fetch.OldestContentAccepted = later)).Status.Code.ShouldBe((int)GrpcStatus.NotFound);
    }

    [Fact]
    public async Task A_directory_is_pushed_with_all_that_is_in_it()
    {
        using var client = await NewAsync(server);
        var root = Parent(("below", Leaf("x")));
        var push = new PushDirectoryRequest { InstanceName = client.Instance, Uris = { Uri }, RootDirectoryDigest = await client.PutAsync(root) };
        (await client.CallAsync<PushDirectoryResponse>(Asset + "Push/PushDirectory", push).RefusedAsync()).Status.ShouldBe(GrpcStatus.FailedPrecondition);
        await client.PutAsync(Leaf("x"));
        await client.PutAsync("x"u8.ToArray());
        await client.CallAsync<PushDirectoryResponse>(Asset + "Push/PushDirectory", push);
        var fetch = new FetchDirectoryRequest { InstanceName = client.Instance, Uris = { Uri } };
        (await client.CallAsync<FetchDirectoryResponse>(Asset + "Fetch/FetchDirectory", fetch)).RootDirectoryDigest.ShouldBe(DigestOf(root));
        (await FetchAsync(client)).Status.Code.ShouldBe((int)GrpcStatus.NotFound);
    }

    [Fact]
    public async Task Who_may_not_write_actions_may_not_push()
    {
        using var owner = await NewAsync(server);
        using var writer = await owner.WithKeyAsync("read", "write");
        var digest = await writer.PutAsync(Bytes(100));
        (await PushAsync(writer, digest).RefusedAsync()).Status.ShouldBe(GrpcStatus.PermissionDenied);
    }

    [Fact]
    public async Task Requests_that_name_nothing_or_too_much_are_refused()
    {
        using var client = await NewAsync(server);
        (await FetchAsync(client, fetch => fetch.Uris.Clear()).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await FetchAsync(client, fetch => fetch.Qualifiers.Add([Qualifier("a", "1"), Qualifier("a", "2")])).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    [Fact]
    public async Task Nothing_is_downloaded_from_this_machine_or_from_hosts_that_are_not_named()
    {
        await using var origin = await Origin.StartAsync();
        using var client = await NewAsync(server, """
            "assetHosts":["localhost","127.0.0.1"]
            """);
        foreach (var uri in (string[])[$"http://localhost:{origin.Port}/file", $"http://127.0.0.1:{origin.Port}/file"])
        {
            var refused = await FetchAsync(client, fetch => fetch.Uris[0] = uri);
            refused.Status.Code.ShouldBe((int)GrpcStatus.Unavailable);
            refused.Status.Message.ShouldContain("public");
        }

        (await FetchAsync(client, fetch => fetch.Uris[0] = "http://elsewhere.example/file")).Status.Code.ShouldBe((int)GrpcStatus.PermissionDenied);
        (await FetchAsync(client, fetch => fetch.Uris[0] = "file:///etc/passwd")).Status.Code.ShouldBe((int)GrpcStatus.PermissionDenied);
        origin.Requests.ShouldBe(0);
    }

    [Theory]
    [InlineData("10.1.2.3", false)]
    [InlineData("127.0.0.1", false)]
    [InlineData("169.254.169.254", false)]
    [InlineData("100.64.0.1", false)]
    [InlineData("0.0.0.0", false)]
    [InlineData("::1", false)]
    [InlineData("::", false)]
    [InlineData("::ffff:10.0.0.1", false)]
    [InlineData("64:ff9b::a00:1", false)]
    [InlineData("fd00::1", false)]
    [InlineData("fe80::1", false)]
    [InlineData("1.1.1.1", true)]
    [InlineData("2606:4700::1111", true)]
    public void Only_public_addresses_are_connected_to(string address, bool may) => PublicAddresses.Contains(IPAddress.Parse(address)).ShouldBe(may);

    [Theory]
    [InlineData("example.org", true)]
    [InlineData("EXAMPLE.org", true)]
    [InlineData("a.example.com", true)]
    [InlineData("a.b.example.com", true)]
    [InlineData("example.com", false)]
    [InlineData("badexample.com", false)]
    [InlineData("example.org.evil.net", false)]
    public void Hosts_are_named_whole_or_by_what_is_above_them(string host, bool allowed) =>
        AssetDownloader.IsAllowed(["example.org", "*.example.com"], host).ShouldBe(allowed);

    [Fact]
    public async Task A_download_is_stored_and_checked()
    {
        await using var origin = await Origin.StartAsync();
        using var client = await NewAsync(server);
        using var downloader = new AssetDownloader(_ => true);
        Task<BuildCache.Wire.BlobDigest> GetAsync(string path, string? integrity = null, long most = 10_000_000, string host = "localhost") => downloader.DownloadAsync(
            client.Space, BlobKind.Sha256, new Uri($"http://{host}:{origin.Port}{path}"), ["localhost"], most, integrity, CancellationToken);

        foreach (var size in (int[])[0, 100, 3_000_000])
        {
            var digest = await GetAsync($"/file?{size}", "sha512-" + Convert.ToBase64String(SHA512.HashData(Bytes(size))));
            digest.Key.ShouldBe(KeyOf(Sha256Of(Bytes(size))));
            (await client.ReadAsync(client.ReadName(Sha256Of(Bytes(size))))).ShouldBe(Bytes(size));
        }

        (await GetAsync("/redirect?100")).Size.ShouldBe(100);
        foreach (var (attempt, status) in ((Func<Task>, GrpcStatus)[])
        [
            (() => GetAsync("/file?5", "sha256-" + Convert.ToBase64String(new byte[32])), GrpcStatus.Aborted),
            (() => GetAsync("/file?200", most: 199), GrpcStatus.ResourceExhausted),
            (() => GetAsync("/chunked?200", most: 199), GrpcStatus.ResourceExhausted),
            (() => GetAsync("/nothing"), GrpcStatus.NotFound),
            (() => GetAsync("/loop"), GrpcStatus.Aborted),
            (() => GetAsync("/away"), GrpcStatus.PermissionDenied),
            (() => GetAsync("/file?5", host: "127.0.0.1"), GrpcStatus.PermissionDenied),
        ])
        {
            (await Should.ThrowAsync<AssetRefusedException>(attempt)).Status.ShouldBe(status);
        }
    }

    private static Qualifier Qualifier(string name, string value) => new() { Name = name, Value = value };

    private static Task<PushBlobResponse> PushAsync(ReapiClient client, Digest digest, Action<PushBlobRequest>? change = null)
    {
        var request = new PushBlobRequest { InstanceName = client.Instance, Uris = { Uri }, BlobDigest = digest };
        change?.Invoke(request);
        return client.CallAsync<PushBlobResponse>(Asset + "Push/PushBlob", request);
    }

    private static Task<FetchBlobResponse> FetchAsync(ReapiClient client, Action<FetchBlobRequest>? change = null)
    {
        var request = new FetchBlobRequest { InstanceName = client.Instance, Uris = { Uri } };
        change?.Invoke(request);
        return client.CallAsync<FetchBlobResponse>(Asset + "Fetch/FetchBlob", request);
    }

    /// <summary>A web server with files of as many bytes as the query says.</summary>
    private sealed class Origin(WebApplication app) : IAsyncDisposable
    {
        private int requests;

        public int Port => new Uri(app.Urls.First()).Port;

        public int Requests => requests;

        public static async Task<Origin> StartAsync()
        {
            var builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.UseUrls("http://127.0.0.1:0");
            var app = builder.Build();
            var origin = new Origin(app);
            app.Run(async http =>
            {
                Interlocked.Increment(ref origin.requests);
                var size = int.TryParse(http.Request.QueryString.Value!.TrimStart('?'), out var asked) ? asked : 0;
                switch (http.Request.Path.Value)
                {
                    case "/file":
                        http.Response.ContentLength = size;
                        await http.Response.Body.WriteAsync(Bytes(size));
                        break;
                    case "/chunked":
                        await http.Response.Body.WriteAsync(Bytes(size));
                        break;
                    case "/redirect":
                        http.Response.Redirect("/file" + http.Request.QueryString);
                        break;
                    case "/loop":
                        http.Response.Redirect("/loop");
                        break;
                    case "/away":
                        http.Response.Redirect("http://elsewhere.example/");
                        break;
                    default:
                        http.Response.StatusCode = 404;
                        break;
                }
            });
            await app.StartAsync(CancellationToken);
            return origin;
        }

        public ValueTask DisposeAsync() => app.DisposeAsync();
    }
}
