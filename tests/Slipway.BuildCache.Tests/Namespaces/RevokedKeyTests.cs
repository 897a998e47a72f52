using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Google.Protobuf;
using Shouldly;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Tests.Reapi;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Grpc;
using Slipway.Testing;
using Xunit;
using static Slipway.BuildCache.Tests.Reapi.ReapiClient;

namespace Slipway.BuildCache.Tests.Namespaces;

/// <summary>A key that is revoked in mid-stream. In every test nothing more is sent then: only the server can end the call.</summary>
[Collection(nameof(ReapiCollection))]
public sealed class RevokedKeyTests(BuildCacheServer server)
{
    private const string HasEnded = "has ended";

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(5000, 0)]
    [InlineData(5000, 1000)]
    [InlineData(2_000_000, 0)]
    [InlineData(2_000_000, 1_500_000)]
    public async Task An_upload_is_cut_however_little_has_come(int size, int sent)
    {
        using var owner = await NewAsync(server);
        var (secret, id, revokeAsync) = await KeyAsync(owner, "write");
        using var client = owner.With(secret);
        var bytes = Bytes(size);
        await using var call = client.Stream(StreamPath + "Write");
        await call.WriteAsync(new WriteRequest { ResourceName = client.WriteName(Sha256Of(bytes)), Data = ByteString.CopyFrom(bytes, 0, sent) }.ToByteArray());
        await WatchedAsync(id);
        await revokeAsync();
        var refusal = await call.ReadSingleAsync().RefusedAsync();
        (refusal.Status, refusal.Message.Contains(HasEnded, StringComparison.Ordinal)).ShouldBe((GrpcStatus.Unauthenticated, true), refusal.Message);
        (await owner.MissingAsync(Sha256Of(bytes))).Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_download_is_cut_that_nobody_reads()
    {
        using var owner = await NewAsync(server);
        var bytes = Bytes(8_000_000);
        var digest = await owner.PutAsync(bytes);
        var (secret, id, revokeAsync) = await KeyAsync(owner, "read");
        using var client = owner.With(secret);
        await using var call = client.Stream(StreamPath + "Read");
        await call.WriteAsync(new ReadRequest { ResourceName = client.ReadName(digest) }.ToByteArray());
        await call.CompleteAsync();
        // The window of the stream is 64 KiB until it is read from: the server stands still.
        await call.GetHeadersAsync();
        await WatchedAsync(id);
        await revokeAsync();
        await Eventually.TrueAsync(() => !IsWatched(id), CancellationToken);
        long arrived = 0;
        var refusal = await Should.ThrowAsync<GrpcException>(async () =>
        {
            while (await call.ReadAsync() is { } message)
            {
                arrived += message.Length;
            }
        });
        arrived.ShouldBeLessThan(bytes.Length / 2);
        // Told when what was on its way is read: not a reset, which clients take for trouble that passes.
        refusal.Status.ShouldBe(GrpcStatus.Unauthenticated, refusal.Message);
    }

    [Theory]
    [InlineData("cas", 5000)]
    [InlineData("cas", 3_000_000)]
    [InlineData("ac", 5000)]
    [InlineData("ccache", 5000)]
    [InlineData("ccache", 3_000_000)]
    [InlineData("gradle", 5000)]
    public async Task An_upload_over_http_is_cut_and_nothing_of_it_is_kept(string tool, int size)
    {
        using var owner = await NewAsync(server);
        var (secret, _, revokeAsync) = await KeyAsync(owner, "write", "ac-write");
        var path = $"/cache/{owner.Instance}/{tool}/{Convert.ToHexStringLower(SHA256.HashData(Bytes(size)))}";
        using var connection = await SendAsync($"PUT {path}", secret, $"Content-Length: {size}\r\nExpect: 100-continue\r\n");
        var answer = connection.GetStream();
        using var reader = new StreamReader(answer, Encoding.ASCII);
        (await reader.ReadLineAsync(CancellationToken)).ShouldBe("HTTP/1.1 100 Continue");
        await answer.WriteAsync(Bytes(size).AsMemory(0, size / 2), CancellationToken);
        await revokeAsync();
        // The answer comes at once; then Kestrel waits five seconds for the rest of the body, and resets.
        var lines = new List<string>();
        while (await reader.ReadLineAsync(CancellationToken) is { } line)
        {
            lines.Add(line);
            if (line.Contains(HasEnded, StringComparison.Ordinal))
            {
                break;
            }
        }

        lines.ShouldContain("HTTP/1.1 401 Unauthorized");
        using var kept = await server.Client.CallAsync("GET", path, server.Owner, null, CancellationToken);
        ((int)kept.StatusCode).ShouldBe(404);
    }

    [Theory]
    [InlineData("/cache/{0}/cas/{1}")]
    [InlineData("/v1/orgs/acme/build-caches/{2}/blobs/{1}")]
    public async Task A_download_over_http_is_cut_that_nobody_reads(string route)
    {
        using var owner = await NewAsync(server);
        // More than both ends of a socket hold.
        var bytes = Bytes(32_000_000);
        var digest = await owner.PutAsync(bytes);
        var (secret, id, revokeAsync) = await KeyAsync(owner, "read");
        using var connection = await SendAsync("GET " + string.Format(System.Globalization.CultureInfo.InvariantCulture, route, owner.Instance, digest.Hash, owner.Instance["acme/".Length..]), secret, "");
        var answer = connection.GetStream();
        var buffer = new byte[64 * 1024];
        Encoding.ASCII.GetString(buffer, 0, await answer.ReadAsync(buffer, CancellationToken)).ShouldStartWith("HTTP/1.1 200");
        await WatchedAsync(id);
        await revokeAsync();
        await Eventually.TrueAsync(() => !IsWatched(id), CancellationToken);
        long arrived = 0;
        try
        {
            while (await answer.ReadAsync(buffer, CancellationToken) is var read and > 0)
            {
                arrived += read;
            }
        }
        catch (IOException)
        {
            // A reset: the same end, said less politely.
        }

        arrived.ShouldBeLessThan(bytes.Length - buffer.Length);
    }

    [Fact]
    public async Task A_key_revoked_on_another_server_is_looked_for_without_its_word()
    {
        using var owner = await NewAsync(server);
        var (secret, id, _) = await KeyAsync(owner, "write");
        using var client = owner.With(secret);
        await using var call = client.Stream(StreamPath + "Write");
        await call.WriteAsync(new WriteRequest { ResourceName = client.WriteName(Sha256Of(Bytes(5000))) }.ToByteArray());
        await WatchedAsync(id);
        await using (var revoke = server.Running.Database.CreateCommand("update api_key set revoked_at = now() where token_id = $1"))
        {
            revoke.Parameters.Add(new Npgsql.NpgsqlParameter { Value = secret[6..22] });
            (await revoke.ExecuteNonQueryAsync(CancellationToken)).ShouldBe(1);
        }

        (await call.ReadSingleAsync().RefusedAsync()).Message.ShouldContain(HasEnded);
    }

    [Fact]
    public async Task A_look_that_fails_forgets_no_stream()
    {
        using var owner = await NewAsync(server);
        var (secret, id, revokeAsync) = await KeyAsync(owner, "write");
        using var client = owner.With(secret);
        await using var call = client.Stream(StreamPath + "Write");
        await call.WriteAsync(new WriteRequest { ResourceName = client.WriteName(Sha256Of(Bytes(5000))) }.ToByteArray());
        await WatchedAsync(id);
        await Should.ThrowAsync<TimeoutException>(() => server.Service<AccessWatch>().LookAsync(_ => throw new TimeoutException("the database is away"), CancellationToken));
        await revokeAsync();
        (await call.ReadSingleAsync().RefusedAsync()).Message.ShouldContain(HasEnded);
    }

    private Task WatchedAsync(string keyId) => Eventually.TrueAsync(() => IsWatched(keyId), CancellationToken);

    private bool IsWatched(string keyId) => server.Service<AccessWatch>().Watched.Any(access => access.Caller.CredentialId == keyId);

    private async Task<(string Secret, string Id, Func<Task> RevokeAsync)> KeyAsync(ReapiClient owner, params string[] rights)
    {
        var issued = await server.Client.JsonAsync(
            "POST", "/v1/keys", server.Owner, AccessWorld.KeyBody([.. rights.Select(right => $"buildcache:{right}:{owner.Instance}")]), CancellationToken);
        var id = issued["key"]!.Text("id");
        return (issued.Text("secret"), id, async () =>
            (await server.Client.CallAsync("DELETE", "/v1/keys/" + id, server.Owner, null, CancellationToken)).EnsureSuccessStatusCode());
    }

    // By hand: HttpClient looks for an answer only when it has sent all of a body, and reads ahead.
    private async Task<TcpClient> SendAsync(string line, string secret, string headers)
    {
        var connection = new TcpClient { ReceiveBufferSize = 64 * 1024 };
        await connection.ConnectAsync("127.0.0.1", server.Running.Server.Url.Port, CancellationToken);
        await connection.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"{line} HTTP/1.1\r\nHost: slipway\r\nAuthorization: Bearer {secret}\r\n{headers}\r\n"), CancellationToken);
        return connection;
    }
}
