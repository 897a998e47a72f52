using Google.Protobuf;
using Shouldly;
using Slipway.BuildCache.ActionCache;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Content;
using Slipway.Grpc;
using Slipway.Testing;
using Xunit;
using static Slipway.BuildCache.Tests.Reapi.ReapiClient;
using static Slipway.BuildCache.Tests.Reapi.TreeTests;
using Digest = Slipway.BuildCache.Wire.Protos.Digest;
using Directory = Slipway.BuildCache.Wire.Protos.Directory;

namespace Slipway.BuildCache.Tests.Reapi;

/// <summary>Where implementations of the protocol were seen to go wrong, beyond what the tests of each call have already.</summary>
[Collection(nameof(ReapiCollection))]
public sealed class TrapTests(BuildCacheServer server)
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_empty_blob_completes_a_result_wherever_it_stands(bool blake3)
    {
        using var client = await NewAsync(server);
        var empty = blake3 ? Blake3Of([]) : Sha256Of([]);
        var function = blake3 ? DigestFunction.Types.Value.Blake3 : DigestFunction.Types.Value.Sha256;
        var tree = new Tree { Root = new Directory { Files = { new FileNode { Name = "none", Digest = empty } }, Directories = { new DirectoryNode { Name = "d", Digest = empty } } } }.ToByteArray();
        var treeDigest = blake3 ? Blake3Of(tree) : Sha256Of(tree);
        await client.WriteAsync(client.WriteName(treeDigest, blake3 ? "blobs/blake3" : "blobs"), tree);
        var result = new ActionResult
        {
            OutputFiles = { new OutputFile { Path = "o", Digest = empty } },
            OutputDirectories = { new OutputDirectory { Path = "t", TreeDigest = treeDigest }, new OutputDirectory { Path = "r", RootDirectoryDigest = empty }, new OutputDirectory { Path = "e", TreeDigest = empty } },
            StdoutDigest = empty,
            StderrDigest = empty,
        };
        var action = Sha256Of(Bytes(40, seed: blake3 ? 1 : 2));
        await client.CallAsync<ActionResult>(ActionPath + "UpdateActionResult", new UpdateActionResultRequest { InstanceName = client.Instance, ActionDigest = action, ActionResult = result, DigestFunction = function });
        var found = await client.GetActionAsync(action, get =>
        {
            get.DigestFunction = function;
            get.InlineStdout = get.InlineStderr = true;
            get.InlineOutputFiles.Add("o");
        });
        (found.OutputFiles.Single().Digest, found.StdoutDigest, found.StdoutRaw.Length).ShouldBe((empty, empty, 0));
        var split = await client.CallAsync<SplitBlobResponse>(CasPath + "SplitBlob", new SplitBlobRequest { InstanceName = client.Instance, BlobDigest = empty, DigestFunction = function });
        split.ChunkDigests.ShouldBeEmpty();
        (await client.CallAsync<SpliceBlobResponse>(CasPath + "SpliceBlob", new SpliceBlobRequest { InstanceName = client.Instance, BlobDigest = empty, DigestFunction = function })).BlobDigest.ShouldBe(empty);
    }

    [Fact]
    public async Task The_empty_hash_with_a_size_is_no_empty_blob()
    {
        using var client = await NewAsync(server);
        var lie = new Digest { Hash = Sha256Of([]).Hash, SizeBytes = 5 };
        (await client.MissingAsync(lie)).ShouldBe([lie]);
        (await client.ReadAsync(client.ReadName(lie)).RefusedAsync()).Status.ShouldBe(GrpcStatus.NotFound);
        (await client.WriteAsync(client.WriteName(lie), Array.Empty<byte>()).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await client.WriteAsync(client.WriteName(lie), Bytes(5)).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await client.QueryAsync(client.WriteName(lie))).Complete.ShouldBeFalse();
        var result = new ActionResult { StdoutDigest = lie };
        (await client.UpdateActionAsync(Sha256Of(Bytes(8)), result).RefusedAsync()).Status.ShouldBe(GrpcStatus.FailedPrecondition);
    }

    [Fact]
    public async Task A_batch_answers_every_item_also_one_that_comes_twice()
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(100);
        var item = new BatchUpdateBlobsRequest.Types.Request { Digest = Sha256Of(bytes), Data = ByteString.CopyFrom(bytes) };
        var updated = await client.CallAsync<BatchUpdateBlobsResponse>(CasPath + "BatchUpdateBlobs", new BatchUpdateBlobsRequest { InstanceName = client.Instance, Requests = { item, item, item } });
        updated.Responses.Select(response => (response.Digest, response.Status.Code)).ShouldBe(Enumerable.Repeat((item.Digest, 0), 3));
        var read = await client.CallAsync<BatchReadBlobsResponse>(CasPath + "BatchReadBlobs", new BatchReadBlobsRequest { InstanceName = client.Instance, Digests = { item.Digest, item.Digest } });
        read.Responses.Select(response => response.Data.ToByteArray()).ShouldBe([bytes, bytes]);
        (await client.CallAsync<BatchUpdateBlobsResponse>(CasPath + "BatchUpdateBlobs", new BatchUpdateBlobsRequest { InstanceName = client.Instance })).Responses.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_message_over_the_limit_has_a_status_and_the_connection_goes_on()
    {
        using var client = await NewAsync(server);
        var request = new BatchUpdateBlobsRequest { InstanceName = client.Instance, Requests = { new BatchUpdateBlobsRequest.Types.Request { Digest = Sha256Of([]), Data = ByteString.CopyFrom(new byte[17 << 20]) } } };
        var refusal = await client.CallAsync<BatchUpdateBlobsResponse>(CasPath + "BatchUpdateBlobs", request).RefusedAsync();
        refusal.Status.ShouldBeOneOf(GrpcStatus.ResourceExhausted, GrpcStatus.InvalidArgument);
        refusal.Message.ShouldContain("bytes");
        (await client.MissingAsync(Sha256Of([]))).ShouldBeEmpty();
    }

    [Fact]
    public async Task A_client_that_names_no_instance_means_the_only_cache_of_its_key()
    {
        using var owner = await NewAsync(server);
        using var key = await owner.WithKeyAsync("read", "write", "ac-write");
        using var client = key.On("");
        var bytes = Bytes(2000);
        var (hash, size) = (Sha256Of(bytes).Hash, bytes.Length);
        (await client.WriteAsync($"uploads/{Guid.NewGuid()}/blobs/{hash}/{size}", bytes)).ShouldBe(size);
        (await client.ReadAsync($"blobs/{hash}/{size}")).ShouldBe(bytes);
        Unzstd(await client.ReadAsync($"compressed-blobs/zstd/{hash}/{size}"), size).ShouldBe(bytes);
        (await client.QueryAsync($"uploads/x/blobs/{hash}/{size}")).Complete.ShouldBeTrue();
        (await client.MissingAsync(Sha256Of(bytes))).ShouldBeEmpty();
        await client.UpdateActionAsync(Sha256Of(Bytes(9)), new ActionResult { ExitCode = 4 });
        (await owner.GetActionAsync(Sha256Of(Bytes(9)))).ExitCode.ShouldBe(4);
        (await owner.ReadAsync(owner.ReadName(Sha256Of(bytes)))).ShouldBe(bytes);
        // With its slash but without a name it is nobody's.
        (await client.ReadAsync($"/blobs/{hash}/{size}").RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    [Fact]
    public async Task The_resource_name_header_has_to_agree_with_a_written_name_too()
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(100);
        var name = client.WriteName(Sha256Of(bytes));
        client.Headers.Add(new("build.bazel.remote.execution.v2.resource-name", "another/name"));
        (await client.WriteAsync(name, bytes).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await client.QueryAsync(name).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        client.Headers[0] = new("build.bazel.remote.execution.v2.resource-name", name);
        (await client.WriteAsync(name, bytes)).ShouldBe(100);
    }

    [Fact]
    public async Task Directories_come_back_byte_for_byte_also_when_their_encoding_is_not_canonical()
    {
        using var client = await NewAsync(server);
        // A client finds children by the hash of what it is given: FileNode with an explicit is_executable = false.
        byte[] file = [0x0A, 1, (byte)'f', 0x20, 0x00];
        byte[] odd = [0x0A, (byte)file.Length, .. file];
        var digest = await client.PutAsync(odd);
        var root = new Directory { Directories = { new DirectoryNode { Name = "d", Digest = digest } } };
        await client.PutAsync(root);
        await using var call = client.Stream(CasPath + "GetTree");
        await call.WriteAsync(new GetTreeRequest { InstanceName = client.Instance, RootDigest = DigestOf(root) }.ToByteArray());
        await call.CompleteAsync();
        var page = await call.ReadSingleAsync();
        page.AsSpan().IndexOf(odd).ShouldBeGreaterThan(0);
    }

    [Fact]
    public async Task A_hit_renews_all_it_refers_to_also_files_in_trees()
    {
        using var client = await NewAsync(server);
        var file = Bytes(33, seed: 4);
        var below = new Directory { Files = { new FileNode { Name = "f", Digest = await client.PutAsync(file) } } };
        var tree = await client.PutAsync(new Tree { Root = Parent(("below", below)), Children = { below } });
        var output = await client.PutAsync(Bytes(44, seed: 4));
        var action = Sha256Of(Bytes(55, seed: 4));
        await client.UpdateActionAsync(action, new ActionResult { OutputFiles = { new OutputFile { Path = "o", Digest = output } }, OutputDirectories = { new OutputDirectory { Path = "d", TreeDigest = tree } } });
        Digest[] closure = [Sha256Of(file), tree, output];
        DateTimeOffset[] Used() => [.. closure.Select(blob => client.Space.TryFind(KeyOf(blob), out var info) ? info.LastUsed : default)];
        var before = Used();
        var key = new BlobKey(BlobKind.ActionSha256, Content.Digest.Parse(action.Hash));
        // The store remembers seconds. Half its minimum age later a hit looks at everything again.
        await Eventually.TrueAsync(
            async _ =>
            {
                var found = await ActionEntries.FindAsync(client.Space, key, action.SizeBytes, DateTimeOffset.UtcNow + client.Space.MinimumAge, CancellationToken);
                found.IsHit.ShouldBeTrue();
                found.Return();
                return Used().Zip(before).All(pair => pair.First > pair.Second);
            },
            CancellationToken);
    }

    [Fact]
    public async Task A_quota_that_is_used_up_is_told_over_both_protocols_and_what_is_here_is_served()
    {
        using var client = await NewAsync(server, """
            "quotaBytes":67108864
            """);
        var first = await client.PutAsync(Bytes(1_000_000, seed: 1));
        // Everything is young, so nothing can go.
        client.Space.Quota = client.Space.Usage.StoredBytes + 100_000;
        foreach (var size in (int[])[500_000, 3_000_000])
        {
            var bytes = Bytes(size, seed: 2);
            var refusal = await client.WriteAsync(client.WriteName(Sha256Of(bytes)), bytes).RefusedAsync();
            (refusal.Status, refusal.Message.Contains("quota", StringComparison.Ordinal)).ShouldBe((GrpcStatus.ResourceExhausted, true), refusal.Message);
            using var put = new HttpRequestMessage(HttpMethod.Put, $"/cache/{client.Instance}/cas/{Sha256Of(bytes).Hash}") { Content = new ByteArrayContent(bytes), Headers = { Authorization = new("Bearer", server.Owner) } };
            using var answer = await server.Client.SendAsync(put, CancellationToken);
            ((int)answer.StatusCode).ShouldBe(507);
            (await client.MissingAsync(Sha256Of(bytes))).Count.ShouldBe(1);
        }

        var item = Bytes(500_000, seed: 3);
        var batch = new BatchUpdateBlobsRequest { InstanceName = client.Instance, Requests = { new BatchUpdateBlobsRequest.Types.Request { Digest = Sha256Of(item), Data = ByteString.CopyFrom(item) } } };
        (await client.CallAsync<BatchUpdateBlobsResponse>(CasPath + "BatchUpdateBlobs", batch)).Responses.Single().Status.Code.ShouldBe((int)GrpcStatus.ResourceExhausted);
        (await client.ReadAsync(client.ReadName(first))).Length.ShouldBe(1_000_000);
        using var other = await NewAsync(server);
        await other.PutAsync(item);
    }

    [Fact]
    public async Task Trouble_with_the_disk_is_never_told_as_a_miss()
    {
        using var client = await NewAsync(server);
        var bytes = Bytes(2_000_000, seed: 91);
        var large = System.IO.Directory.GetFiles(server.Running.DataFolder, "*", SearchOption.AllDirectories).ToHashSet();
        var digest = await client.PutAsync(bytes);
        var file = System.IO.Directory.GetFiles(server.Running.DataFolder, "*", SearchOption.AllDirectories)
            .Single(path => !large.Contains(path) && new FileInfo(path).Length == bytes.Length);
        var aside = file + ".aside";
        File.Move(file, aside);
        // A folder in its place: the blob can't be opened, and it is not gone.
        System.IO.Directory.CreateDirectory(file);
        try
        {
            (await client.ReadAsync(client.ReadName(digest)).RefusedAsync()).Status.ShouldBe(GrpcStatus.Unavailable);
            (await client.ReadAsync(client.ReadName(digest, "compressed-blobs/zstd")).RefusedAsync()).Status.ShouldBe(GrpcStatus.Unavailable);
            var batch = await client.CallAsync<BatchReadBlobsResponse>(CasPath + "BatchReadBlobs", new BatchReadBlobsRequest { InstanceName = client.Instance, Digests = { digest } });
            batch.Responses.Single().Status.Code.ShouldBe((int)GrpcStatus.Unavailable);
            (await client.StreamAsync<GetTreeResponse>(CasPath + "GetTree", new GetTreeRequest { InstanceName = client.Instance, RootDigest = digest }).RefusedAsync()).Status.ShouldBe(GrpcStatus.Unavailable);
            (await client.CallAsync<SplitBlobResponse>(CasPath + "SplitBlob", new SplitBlobRequest { InstanceName = client.Instance, BlobDigest = digest }).RefusedAsync()).Status.ShouldBe(GrpcStatus.Unavailable);
            using var answer = await server.Client.CallAsync("GET", $"/cache/{client.Instance}/cas/{digest.Hash}", server.Owner, null, CancellationToken);
            ((int)answer.StatusCode).ShouldBe(503);
        }
        finally
        {
            System.IO.Directory.Delete(file);
            File.Move(aside, file);
        }

        (await client.ReadAsync(client.ReadName(digest))).ShouldBe(bytes);
    }

    [Fact]
    public async Task Key_before_the_instance_name_is_taken_from_who_sends_none_in_a_header()
    {
        using var owner = await ReapiClient.NewAsync(server);
        using var named = ReapiClient.Of(server, $"{server.Owner}/{owner.Instance}", token: null);
        var (small, large) = (new byte[200], new byte[1_200_000]);
        Random.Shared.NextBytes(small);
        Random.Shared.NextBytes(large);
        foreach (var blob in (byte[][])[small, large])
        {
            (await named.MissingAsync(ReapiClient.Sha256Of(blob))).Count.ShouldBe(1);
            var digest = await named.PutAsync(blob);
            (await owner.MissingAsync(digest)).ShouldBeEmpty();
            (await named.ReadAsync($"{named.Instance}/blobs/{digest.Hash}/{digest.SizeBytes}")).ShouldBe(blob);
        }

        // One in the header counts alone, and a key that is none is told as one in the header is.
        using var both = ReapiClient.Of(server, $"{server.Owner}/{owner.Instance}", server.Owner);
        (await Should.ThrowAsync<GrpcException>(() => both.MissingAsync())).Status.ShouldBe(GrpcStatus.PermissionDenied);
        using var wrong = ReapiClient.Of(server, $"slp_u_wrong/{owner.Instance}", token: null);
        var refused = await Should.ThrowAsync<GrpcException>(() => wrong.MissingAsync());
        refused.Status.ShouldBe(GrpcStatus.Unauthenticated);
        refused.Message.ShouldContain("not a Slipway key");
        refused.Message.ShouldNotContain("slp_u_wrong");
    }
}
