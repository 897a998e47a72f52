using System.Text;
using Google.Protobuf;
using Shouldly;
using Slipway.BuildCache.Tests.Reapi;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Grpc;
using Slipway.Testing;
using Xunit;
using static Slipway.BuildCache.Tests.Reapi.ReapiClient;
using static Slipway.BuildCache.Tests.Reapi.TreeTests;
using Digest = Slipway.BuildCache.Wire.Protos.Digest;

namespace Slipway.BuildCache.Tests.Namespaces;

/// <summary>
/// Two caches with the same blobs: of two orgs, and of one org with a key each. Neither can learn that the other has them, by status, words,
/// an answer that comes early, or quota.
/// </summary>
[Collection(nameof(ReapiCollection))]
public sealed class IsolationTests(BuildCacheServer server)
{
    private const string Asset = "/build.bazel.remote.asset.v1.";
    private const string Uri = "https://example.org/file";

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    /// <summary>How the owner of the second cache stands to the first.</summary>
    public static TheoryData<string> Others => ["another org", "a key of the same org"];

    [Theory]
    [MemberData(nameof(Others))]
    public async Task Everything_the_first_has_is_asked_for_by_the_second_as_if_nobody_had_it(string who)
    {
        var (first, second) = await PairAsync(who);
        using var full = first;
        using var other = second;
        var (small, large) = (Bytes(3000, seed: 71), Bytes(1_500_000, seed: 71));
        foreach (var bytes in (byte[][])[small, large])
        {
            await full.PutAsync(bytes);
        }

        var root = Parent(("leaf", Leaf("leaf")));
        await full.PutAsync(Leaf("leaf"));
        await full.PutAsync(root);
        await full.PutAsync("leaf"u8.ToArray());
        var action = Sha256Of(Bytes(50, seed: 71));
        await full.UpdateActionAsync(action, new ActionResult { OutputFiles = { new OutputFile { Path = "o", Digest = Sha256Of(small) } } });
        await full.CallAsync<PushBlobResponse>(Asset + "Push/PushBlob", new PushBlobRequest { InstanceName = full.Instance, Uris = { Uri }, BlobDigest = Sha256Of(small) });
        using (var stored = await PutHttpAsync(full, "ccache/the/key", small))
        {
            ((int)stored.StatusCode).ShouldBe(201);
        }

        // What the first has, and what nobody has: each pair must be answered in the same words, but for the name that was sent.
        foreach (var (theirs, nobodys) in new[] { (Sha256Of(small), Sha256Of(Bytes(3000, seed: 72))), (Sha256Of(large), Sha256Of(Bytes(1_500_000, seed: 72))), (DigestOf(root), Sha256Of(Bytes(DigestOf(root).CalculateSize(), seed: 9))) })
        {
            var size = theirs.SizeBytes;
            (await SeenAsync(other, theirs)).ShouldBe(await SeenAsync(other, new Digest { Hash = nobodys.Hash, SizeBytes = size }));
        }

        (await SeenOfAsync(() => other.GetActionAsync(action), action.Hash)).ShouldBe(await SeenOfAsync(() => other.GetActionAsync(Sha256Of(Bytes(50, seed: 72))), Sha256Of(Bytes(50, seed: 72)).Hash));
        (await FetchedAsync(other, Uri)).ShouldBe(await FetchedAsync(other, Uri + "2"));
        foreach (var path in (string[])["ccache/the/{0}", "cas/{0}", "ac/{0}", "sccache/{0}", "gradle/{0}", "nx/v1/cache/{0}", "turbo/v8/artifacts/{0}"])
        {
            (await GetHttpAsync(other, Format(path, path.StartsWith("cc", StringComparison.Ordinal) ? "key" : Sha256Of(small).Hash)))
                .ShouldBe(await GetHttpAsync(other, Format(path, path.StartsWith("cc", StringComparison.Ordinal) ? "kez" : Sha256Of(Bytes(9)).Hash)), path);
        }
    }

    [Theory]
    [MemberData(nameof(Others))]
    public async Task An_upload_of_what_the_first_has_is_taken_to_its_end_and_checked(string who)
    {
        var (first, second) = await PairAsync(who);
        using var full = first;
        using var other = second;
        foreach (var size in (int[])[3000, 9_000_000])
        {
            var bytes = Bytes(size, seed: 73);
            var digest = await full.PutAsync(bytes);
            // Large ones look for a duplicate every 4 MiB.
            await using (var call = other.Stream(StreamPath + "Write"))
            {
                var name = other.WriteName(digest);
                var sent = size * 2 / 3;
                await call.WriteAsync(new WriteRequest { ResourceName = name, Data = ByteString.CopyFrom(bytes, 0, 1000) }.ToByteArray());
                for (var at = 1000; at < sent; at += 500_000)
                {
                    await call.WriteAsync(new WriteRequest { WriteOffset = at, Data = ByteString.CopyFrom(bytes, at, Math.Min(500_000, sent - at)) }.ToByteArray());
                }

                var answer = call.ReadSingleAsync();
                if (size > 1 << 20)
                {
                    await Eventually.TrueAsync(async _ => await CommittedAsync(other, name) == sent, CancellationToken);
                }

                answer.IsCompleted.ShouldBeFalse();
                (await other.QueryAsync(name)).Complete.ShouldBeFalse();
                await call.WriteAsync(new WriteRequest { WriteOffset = sent, Data = ByteString.CopyFrom(new byte[size - sent]), FinishWrite = true }.ToByteArray());
                await call.CompleteAsync();
                (await answer.RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
            }

            (await other.MissingAsync(digest)).Count.ShouldBe(1);
            (await PutHttpAsync(other, "cas/" + digest.Hash, new byte[size])).StatusCode.ShouldBe(System.Net.HttpStatusCode.BadRequest);
            var batch = new BatchUpdateBlobsRequest { InstanceName = other.Instance, Requests = { new BatchUpdateBlobsRequest.Types.Request { Digest = digest, Data = ByteString.CopyFrom(new byte[Math.Min(size, 3000)]) } } };
            (await other.CallAsync<BatchUpdateBlobsResponse>(CasPath + "BatchUpdateBlobs", batch)).Responses.Single().Status.Code.ShouldBe((int)GrpcStatus.InvalidArgument);
            (await other.MissingAsync(digest)).Count.ShouldBe(1);

            // Neither by their chunks, nor by a result that refers to them.
            (await other.CallAsync<SpliceBlobResponse>(CasPath + "SpliceBlob", new SpliceBlobRequest { InstanceName = other.Instance, BlobDigest = digest, ChunkDigests = { digest } }).RefusedAsync())
                .Status.ShouldBe(GrpcStatus.NotFound);
            (await other.UpdateActionAsync(Sha256Of(Bytes(5)), new ActionResult { OutputFiles = { new OutputFile { Path = "o", Digest = digest } } }).RefusedAsync())
                .Status.ShouldBe(GrpcStatus.FailedPrecondition);
        }
    }

    [Theory]
    [MemberData(nameof(Others))]
    public async Task The_second_pays_for_the_same_blobs_what_the_first_did(string who)
    {
        var (first, second) = await PairAsync(who);
        using var full = first;
        using var other = second;
        foreach (var client in (ReapiClient[])[full, other])
        {
            await client.PutAsync(Bytes(3000, seed: 74));
            await client.PutAsync(Bytes(1_500_000, seed: 74));
        }

        other.Space.Usage.LiveBytes.ShouldBe(full.Space.Usage.LiveBytes);
        (other.Space.Usage.Blobs, other.Space.Usage.StoredBytes).ShouldBe((full.Space.Usage.Blobs, full.Space.Usage.StoredBytes));
        // The loss of one's blob is nothing to the other.
        full.Space.Remove(KeyOf(Sha256Of(Bytes(3000, seed: 74)))).ShouldBeTrue();
        (await other.ReadAsync(other.ReadName(Sha256Of(Bytes(3000, seed: 74))))).Length.ShouldBe(3000);
        var usage = await Eventually.ValueAsync(
            async token => await server.Client.JsonAsync("GET", $"/v1/orgs/{other.Instance.Split('/')[0]}/build-caches/{other.Instance.Split('/')[1]}/stats", who == "another org" ? server.Stranger : server.Owner, null, token) is { } stats
                && stats["totals"]!["bytesUp"]!.GetValue<long>() > 0 ? stats : null,
            CancellationToken);
        usage["totals"]!["bytesUp"]!.GetValue<long>().ShouldBe(1_503_000);
    }

    [Fact]
    public async Task Every_call_to_a_foreign_cache_is_refused_like_one_to_a_cache_that_is_not_there()
    {
        using var foreign = await NewAsync(server);
        var digest = await foreign.PutAsync(Bytes(300));
        using var none = foreign.On(foreign.Instance[..^1] + (foreign.Instance[^1] == '0' ? '1' : 'x'));
        using var nowhere = foreign.On("nosuchorg/cache");
        server.Directory.Find("acme", none.Instance["acme/".Length..])?.ShouldBeNull();
        var key = await server.World.IssueAsync(server.Stranger, ["buildcache:read:*", "buildcache:write:*", "buildcache:ac-write:*"], CancellationToken);
        foreach (var token in (string?[])[server.Stranger, key, null, "slp_u_nonsense"])
        {
            string[]? expected = null;
            foreach (var instance in (string[])[foreign.Instance, none.Instance, nowhere.Instance, foreign.Instance + "/sub"])
            {
                using var client = Of(server, instance, token);
                var seen = await RefusalsAsync(client, digest);
                expected ??= seen;
                seen.ShouldBe(expected, $"{instance} with {token}");
            }
        }
    }

    private static string Format(string format, string value) => string.Format(System.Globalization.CultureInfo.InvariantCulture, format, value);

    private async Task<(ReapiClient First, ReapiClient Second)> PairAsync(string who)
    {
        using var first = await NewAsync(server);
        if (who == "another org")
        {
            return (first.With(server.Owner), Of(server, $"elsewhere/{await server.CacheAsync("elsewhere")}", server.Stranger));
        }

        using var second = await NewAsync(server);
        return (await first.WithKeyAsync("read", "write", "ac-write"), await second.WithKeyAsync("read", "write", "ac-write"));
    }

    /// <summary>All that a client can ask about a blob, and what it is told.</summary>
    private static async Task<string> SeenAsync(ReapiClient client, Digest digest)
    {
        var missing = await client.MissingAsync(digest);
        var read = await client.CallAsync<BatchReadBlobsResponse>(CasPath + "BatchReadBlobs", new BatchReadBlobsRequest { InstanceName = client.Instance, Digests = { digest } });
        string[] seen =
        [
            $"{missing.Count}",
            $"{read.Responses.Single().Status} {read.Responses.Single().Data.Length}",
            await SeenOfAsync(() => client.ReadAsync(client.ReadName(digest)), digest.Hash),
            await SeenOfAsync(() => client.ReadAsync(client.ReadName(digest, "compressed-blobs/zstd")), digest.Hash),
            await SeenOfAsync(() => client.QueryAsync(client.WriteName(digest)), digest.Hash),
            await SeenOfAsync(() => client.QueryAsync(client.WriteName(digest, "compressed-blobs/zstd")), digest.Hash),
            await SeenOfAsync(() => client.StreamAsync<GetTreeResponse>(CasPath + "GetTree", new GetTreeRequest { InstanceName = client.Instance, RootDigest = digest }), digest.Hash),
            await SeenOfAsync(() => client.CallAsync<SplitBlobResponse>(CasPath + "SplitBlob", new SplitBlobRequest { InstanceName = client.Instance, BlobDigest = digest }), digest.Hash),
        ];
        return string.Join('\n', seen);
    }

    private static async Task<string> SeenOfAsync<T>(Func<Task<T>> call, string hash)
    {
        try
        {
            return (await call())!.ToString()!;
        }
        catch (GrpcException refusal)
        {
            return $"{refusal.Status} {refusal.Message.Replace(hash, "HASH", StringComparison.Ordinal)} {refusal.Details.Count}";
        }
    }

    /// <summary>Every call of the protocols, to a cache that must not be told of.</summary>
    private async Task<string[]> RefusalsAsync(ReapiClient client, Digest digest)
    {
        Func<Task<object>>[] calls =
        [
            async () => await client.CallAsync<ServerCapabilities>(CapabilitiesPath, new GetCapabilitiesRequest { InstanceName = client.Instance }),
            async () => await client.MissingAsync(digest),
            async () => await client.CallAsync<BatchReadBlobsResponse>(CasPath + "BatchReadBlobs", new BatchReadBlobsRequest { InstanceName = client.Instance, Digests = { digest } }),
            async () => await client.CallAsync<BatchUpdateBlobsResponse>(CasPath + "BatchUpdateBlobs", new BatchUpdateBlobsRequest { InstanceName = client.Instance, Requests = { new BatchUpdateBlobsRequest.Types.Request { Digest = digest } } }),
            async () => await client.StreamAsync<GetTreeResponse>(CasPath + "GetTree", new GetTreeRequest { InstanceName = client.Instance, RootDigest = digest }),
            async () => await client.CallAsync<SplitBlobResponse>(CasPath + "SplitBlob", new SplitBlobRequest { InstanceName = client.Instance, BlobDigest = digest }),
            async () => await client.CallAsync<SpliceBlobResponse>(CasPath + "SpliceBlob", new SpliceBlobRequest { InstanceName = client.Instance, BlobDigest = digest, ChunkDigests = { digest } }),
            async () => await client.ReadAsync(client.ReadName(digest)),
            async () => await client.WriteAsync(client.WriteName(digest), Bytes(300)),
            async () => await client.QueryAsync(client.WriteName(digest)),
            async () => await client.GetActionAsync(digest),
            async () => await client.UpdateActionAsync(digest, new ActionResult()),
            async () => await client.CallAsync<FetchBlobResponse>(Asset + "Fetch/FetchBlob", new FetchBlobRequest { InstanceName = client.Instance, Uris = { Uri } }),
            async () => await client.CallAsync<FetchDirectoryResponse>(Asset + "Fetch/FetchDirectory", new FetchDirectoryRequest { InstanceName = client.Instance, Uris = { Uri } }),
            async () => await client.CallAsync<PushBlobResponse>(Asset + "Push/PushBlob", new PushBlobRequest { InstanceName = client.Instance, Uris = { Uri }, BlobDigest = digest }),
        ];
        List<string> seen = [];
        foreach (var call in calls)
        {
            var refusal = await ((Task)call()).RefusedAsync();
            seen.Add($"{refusal.Status} {refusal.Message.Replace(client.Instance, "NAME", StringComparison.Ordinal)} {refusal.Details.Count}");
        }

        foreach (var path in (string[])["cas/{0}", "ac/{0}", "ccache/{0}", "sccache/{0}", "gradle/{0}", "go/{0}", "nx/v1/cache/{0}", "turbo/v8/artifacts/{0}"])
        {
            seen.Add(await GetHttpAsync(client, Format(path, digest.Hash)));
            using var put = await PutHttpAsync(client, Format(path, digest.Hash), Bytes(300));
            seen.Add(await ShownAsync(client, put));
        }

        return [.. seen];
    }

    private static async Task<string> FetchedAsync(ReapiClient client, string uri)
    {
        var fetched = await client.CallAsync<FetchBlobResponse>(Asset + "Fetch/FetchBlob", new FetchBlobRequest { InstanceName = client.Instance, Uris = { uri } });
        return $"{fetched.Status} {fetched.BlobDigest}";
    }

    private async Task<string> GetHttpAsync(ReapiClient client, string path)
    {
        using var answer = await server.Client.CallAsync("GET", $"/cache/{client.Instance}/{path}", client.Token, null, CancellationToken);
        return await ShownAsync(client, answer);
    }

    private static async Task<string> ShownAsync(ReapiClient client, HttpResponseMessage answer)
    {
        var text = new StringBuilder().Append((int)answer.StatusCode);
        // Dates and the id of the request are the only headers that may differ.
        foreach (var (name, values) in answer.Headers.Concat(answer.Content.Headers).Where(header => header.Key is not ("Date" or "X-Request-Id" or "Content-Length")).OrderBy(header => header.Key, StringComparer.Ordinal))
        {
            text.Append('\n').Append(name).Append(": ").AppendJoin(',', values);
        }

        return text.Append('\n').Append((await answer.Content.ReadAsStringAsync(CancellationToken)).Replace(client.Instance, "NAME", StringComparison.Ordinal)).ToString();
    }

    private async Task<HttpResponseMessage> PutHttpAsync(ReapiClient client, string path, byte[] body)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, $"/cache/{client.Instance}/{path}") { Content = new ByteArrayContent(body) };
        request.Headers.Authorization = client.Token is null ? null : new("Bearer", client.Token);
        request.Headers.Add("X-Go-Output-Id", Sha256Of(body).Hash);
        return await server.Client.SendAsync(request, CancellationToken);
    }

    private static async Task<long> CommittedAsync(ReapiClient client, string name) => (await client.QueryAsync(name)).CommittedSize;
}
