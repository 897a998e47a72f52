using Google.Protobuf;
using Shouldly;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Grpc;
using Xunit;
using static Slipway.BuildCache.Tests.Reapi.ReapiClient;
using static Slipway.BuildCache.Tests.Reapi.TreeTests;
using Digest = Slipway.BuildCache.Wire.Protos.Digest;
using Directory = Slipway.BuildCache.Wire.Protos.Directory;

namespace Slipway.BuildCache.Tests.Reapi;

[Collection(nameof(ReapiCollection))]
public sealed class ActionCacheTests(BuildCacheServer server)
{
    [Fact]
    public async Task A_result_comes_back_with_a_workers_name()
    {
        using var client = await NewAsync(server);
        var result = await ResultAsync(client);
        var stored = await client.UpdateActionAsync(Action(1), result);
        stored.ExecutionMetadata.Worker.ShouldNotBeEmpty();
        (await client.GetActionAsync(Action(1))).ShouldBe(stored);
        stored.ExecutionMetadata = null;
        stored.ShouldBe(result);
    }

    [Fact]
    public async Task An_empty_result_is_not_an_empty_message()
    {
        using var client = await NewAsync(server);
        await client.UpdateActionAsync(Action(1), new ActionResult());
        (await client.GetActionAsync(Action(1))).CalculateSize().ShouldBeGreaterThan(0);
    }

    [Fact]
    public async Task Metadata_that_are_there_are_kept()
    {
        using var client = await NewAsync(server);
        var result = new ActionResult { ExitCode = 3, StdoutRaw = ByteString.CopyFromUtf8("x"), ExecutionMetadata = new ExecutedActionMetadata { Worker = "host-1" } };
        (await client.UpdateActionAsync(Action(1), result)).ShouldBe(result);
        (await client.GetActionAsync(Action(1))).ShouldBe(result);
        result.ExecutionMetadata = new ExecutedActionMetadata { QueuedTimestamp = new Google.Protobuf.WellKnownTypes.Timestamp { Seconds = 5 } };
        var stored = await client.UpdateActionAsync(Action(1), result);
        stored.ExecutionMetadata.QueuedTimestamp.Seconds.ShouldBe(5);
        stored.ExecutionMetadata.Worker.ShouldNotBeEmpty();
        (await client.GetActionAsync(Action(1))).ShouldBe(stored);
    }

    [Fact]
    public async Task A_miss_is_not_found_and_says_why()
    {
        using var client = await NewAsync(server);
        (await client.GetActionAsync(Action(1)).RefusedAsync()).Status.ShouldBe(GrpcStatus.NotFound);
        await client.UpdateActionAsync(Action(1), new ActionResult());
        var refusal = await client.GetActionAsync(new Digest { Hash = Action(1).Hash, SizeBytes = 5 }).RefusedAsync();
        refusal.Status.ShouldBe(GrpcStatus.NotFound);
        refusal.Message.ShouldContain("another size");
    }

    [Fact]
    public async Task A_result_without_its_outputs_is_refused_with_the_blob_that_is_missing()
    {
        using var client = await NewAsync(server);
        foreach (var change in (Action<ActionResult>[])
        [
            result => result.OutputFiles.Add(new OutputFile { Path = "x", Digest = Sha256Of(Bytes(7)) }),
            result => result.OutputDirectories.Add(new OutputDirectory { Path = "x", TreeDigest = Sha256Of(Bytes(7)) }),
            result => result.OutputDirectories.Add(new OutputDirectory { Path = "x", RootDirectoryDigest = Sha256Of(Bytes(7)) }),
            result => result.StdoutDigest = Sha256Of(Bytes(7)),
            result => result.StderrDigest = Sha256Of(Bytes(7)),
        ])
        {
            var result = await ResultAsync(client);
            change(result);
            var refusal = await client.UpdateActionAsync(Action(1), result).RefusedAsync();
            refusal.Status.ShouldBe(GrpcStatus.FailedPrecondition);
            refusal.Message.ShouldContain(Sha256Of(Bytes(7)).Hash);
            refusal.Details.Single().TypeUrl.ShouldEndWith("PreconditionFailure");
        }

        (await client.GetActionAsync(Action(1)).RefusedAsync()).Status.ShouldBe(GrpcStatus.NotFound);
    }

    [Fact]
    public async Task A_file_in_a_tree_belongs_to_the_result()
    {
        using var client = await NewAsync(server);
        var file = Bytes(77);
        var below = new Directory { Files = { new FileNode { Name = "f", Digest = Sha256Of(file) } } };
        var tree = new Tree { Root = Parent(("below", below)), Children = { below } };
        var result = new ActionResult { OutputDirectories = { new OutputDirectory { Path = "d", TreeDigest = await client.PutAsync(tree) } } };
        (await client.UpdateActionAsync(Action(1), result).RefusedAsync()).Message.ShouldContain(Sha256Of(file).Hash);
        await client.PutAsync(file);
        await client.UpdateActionAsync(Action(1), result);

        var root = Parent(("below", below));
        result = new ActionResult { OutputDirectories = { new OutputDirectory { Path = "d", RootDirectoryDigest = await client.PutAsync(root) } } };
        (await client.UpdateActionAsync(Action(2), result).RefusedAsync()).Message.ShouldContain(DigestOf(below).Hash);
        await client.PutAsync(below);
        await client.UpdateActionAsync(Action(2), result);
        client.Space.Remove(KeyOf(Sha256Of(file))).ShouldBeTrue();
        foreach (var action in (int[])[1, 2])
        {
            var refusal = await client.GetActionAsync(Action(action)).RefusedAsync();
            refusal.Status.ShouldBe(GrpcStatus.NotFound);
            refusal.Message.ShouldContain(Sha256Of(file).Hash);
        }
    }

    [Fact]
    public async Task A_result_whose_blob_was_lost_is_a_miss_until_the_blob_is_back()
    {
        using var client = await NewAsync(server);
        var output = Bytes(50);
        var result = new ActionResult { OutputFiles = { new OutputFile { Path = "o", Digest = await client.PutAsync(output) } } };
        await client.UpdateActionAsync(Action(1), result);
        await client.GetActionAsync(Action(1));
        client.Space.Remove(KeyOf(Sha256Of(output))).ShouldBeTrue();
        var refusal = await client.GetActionAsync(Action(1)).RefusedAsync();
        refusal.Status.ShouldBe(GrpcStatus.NotFound);
        refusal.Message.ShouldContain(Sha256Of(output).Hash);
        await client.PutAsync(output);
        (await client.GetActionAsync(Action(1))).OutputFiles.ShouldBe(result.OutputFiles);
    }

    [Fact]
    public async Task Inlines_what_is_asked_for()
    {
        using var client = await NewAsync(server);
        var result = await ResultAsync(client);
        await client.UpdateActionAsync(Action(1), result);
        var inlined = await client.GetActionAsync(Action(1), request =>
        {
            request.InlineStdout = request.InlineStderr = true;
            request.InlineOutputFiles.Add(["out/b.o", "not/there"]);
        });
        inlined.StdoutRaw.ToByteArray().ShouldBe(Bytes(30, seed: 3));
        inlined.StderrRaw.Length.ShouldBe(0);
        inlined.OutputFiles.Select(file => file.Contents.Length).ShouldBe([0, 2000]);
        inlined.OutputFiles[1].Contents.ToByteArray().ShouldBe(Bytes(2000, seed: 2));
        inlined.OutputFiles[1].NodeProperties.UnixMode.ShouldBe(493u);
        inlined.OutputFiles[1].Contents = ByteString.Empty;
        inlined.StdoutRaw = ByteString.Empty;
        inlined.ExecutionMetadata = null;
        inlined.ShouldBe(result);
    }

    [Fact]
    public async Task Inlining_stops_at_its_budget()
    {
        using var client = await NewAsync(server);
        var result = new ActionResult();
        for (var at = 0; at < 5; at++)
        {
            result.OutputFiles.Add(new OutputFile { Path = $"f{at}", Digest = await client.PutAsync(Bytes(900_000, at)) });
        }

        await client.UpdateActionAsync(Action(1), result);
        var inlined = await client.GetActionAsync(Action(1), request => request.InlineOutputFiles.Add(result.OutputFiles.Select(file => file.Path)));
        inlined.OutputFiles.Count(file => file.Contents.Length > 0).ShouldBe(3);
        inlined.CalculateSize().ShouldBeLessThan(4 << 20);
    }

    [Fact]
    public async Task A_result_with_very_many_outputs_is_served_whole()
    {
        using var client = await NewAsync(server);
        var digest = await client.PutAsync(Bytes(10));
        var result = new ActionResult { OutputFiles = { Enumerable.Range(0, 15_000).Select(at => new OutputFile { Path = $"some/longer/path/of/output/{at}", Digest = digest }) } };
        await client.UpdateActionAsync(Action(1), result);
        (await client.GetActionAsync(Action(1))).OutputFiles.ShouldBe(result.OutputFiles);
    }

    [Fact]
    public async Task Blake3_actions_are_apart_from_sha256_actions()
    {
        using var client = await NewAsync(server);
        var output = Bytes(60);
        await client.WriteAsync(client.WriteName(Blake3Of(output), "blobs/blake3"), output);
        var request = new UpdateActionResultRequest
        {
            InstanceName = client.Instance, ActionDigest = Action(1), DigestFunction = DigestFunction.Types.Value.Blake3,
            ActionResult = new ActionResult { OutputFiles = { new OutputFile { Path = "o", Digest = Blake3Of(output) } } },
        };
        await client.CallAsync<ActionResult>(ActionPath + "UpdateActionResult", request);
        (await client.GetActionAsync(Action(1)).RefusedAsync()).Status.ShouldBe(GrpcStatus.NotFound);
        (await client.GetActionAsync(Action(1), get => get.DigestFunction = DigestFunction.Types.Value.Blake3)).OutputFiles.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Who_may_not_write_actions_is_refused_or_humoured()
    {
        using var owner = await NewAsync(server);
        using var writer = await owner.WithKeyAsync("read", "write");
        (await writer.UpdateActionAsync(Action(1), new ActionResult()).RefusedAsync()).Status.ShouldBe(GrpcStatus.PermissionDenied);
        writer.Metadata = new RequestMetadata { ToolDetails = new ToolDetails { ToolName = "bazel", ToolVersion = "6.4.0" } };
        (await writer.UpdateActionAsync(Action(1), new ActionResult()).RefusedAsync()).Status.ShouldBe(GrpcStatus.PermissionDenied);
        foreach (var version in (string[])["5.4.1", "4.2.3", "2.1.0", ""])
        {
            writer.Metadata.ToolDetails.ToolVersion = version;
            await writer.UpdateActionAsync(Action(1), new ActionResult { ExitCode = 1 });
            (await writer.GetActionAsync(Action(1)).RefusedAsync()).Status.ShouldBe(GrpcStatus.NotFound);
        }
    }

    [Fact]
    public async Task A_result_of_noise_is_refused()
    {
        using var client = await NewAsync(server);
        var tree = await client.PutAsync(Bytes(500));
        var result = new ActionResult { OutputDirectories = { new OutputDirectory { Path = "d", TreeDigest = tree } } };
        (await client.UpdateActionAsync(Action(1), result).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await client.UpdateActionAsync(Action(1), null).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    private static Digest Action(int seed) => Sha256Of(Bytes(100 + seed, seed));

    private static async Task<ActionResult> ResultAsync(ReapiClient client) => new()
    {
        OutputFiles =
        {
            new OutputFile { Path = "out/a.o", Digest = await client.PutAsync(Bytes(1000, seed: 1)), IsExecutable = true },
            new OutputFile
            {
                Path = "out/b.o", Digest = await client.PutAsync(Bytes(2000, seed: 2)), IsExecutable = true, NodeProperties = new NodeProperties { UnixMode = 493 },
            },
        },
        ExitCode = 2,
        StdoutDigest = await client.PutAsync(Bytes(30, seed: 3)),
        StderrDigest = Sha256Of([]),
        OutputSymlinks = { new OutputSymlink { Path = "link", Target = "a.o" } },
    };
}
