using Google.Protobuf;
using Shouldly;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Grpc;
using Xunit;
using static Slipway.BuildCache.Tests.Reapi.ReapiClient;
using Digest = Slipway.BuildCache.Wire.Protos.Digest;
using Directory = Slipway.BuildCache.Wire.Protos.Directory;

namespace Slipway.BuildCache.Tests.Reapi;

[Collection(nameof(ReapiCollection))]
public sealed class TreeTests(BuildCacheServer server)
{
    [Fact]
    public async Task Every_directory_comes_once()
    {
        using var client = await NewAsync(server);
        var shared = Leaf("shared");
        var left = Parent(("a", shared), ("b", Leaf("b")));
        var right = Parent(("c", shared));
        var root = Parent(("left", left), ("right", right));
        foreach (var directory in (Directory[])[shared, Leaf("b"), left, right, root])
        {
            await client.PutAsync(directory);
        }

        var pages = await GetTreeAsync(client, DigestOf(root));
        pages.SelectMany(page => page.Directories).ShouldBe([root, left, right, shared, Leaf("b")]);
        pages[^1].NextPageToken.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_missing_root_is_not_found_and_a_missing_subtree_is_left_out()
    {
        using var client = await NewAsync(server);
        var root = Parent(("here", Leaf("here")), ("gone", Parent(("below", Leaf("below")))));
        (await GetTreeAsync(client, DigestOf(root)).RefusedAsync()).Status.ShouldBe(GrpcStatus.NotFound);
        await client.PutAsync(root);
        await client.PutAsync(Leaf("here"));
        (await GetTreeAsync(client, DigestOf(root))).SelectMany(page => page.Directories).ShouldBe([root, Leaf("here")]);
    }

    [Fact]
    public async Task A_page_token_goes_on_behind_its_page()
    {
        using var client = await NewAsync(server);
        var leaves = Enumerable.Range(0, 10).Select(at => Leaf($"leaf{at}")).ToArray();
        var root = Parent([.. leaves.Select((leaf, at) => ($"d{at}", leaf))]);
        foreach (var directory in (Directory[])[root, .. leaves])
        {
            await client.PutAsync(directory);
        }

        var pages = await GetTreeAsync(client, DigestOf(root), pageSize: 3);
        pages.Select(page => page.Directories.Count).ShouldBe([3, 3, 3, 2]);
        pages.SelectMany(page => page.Directories).ShouldBe([root, .. leaves]);
        for (var at = 0; at < 3; at++)
        {
            (await GetTreeAsync(client, DigestOf(root), pageSize: 3, pages[at].NextPageToken)).SelectMany(page => page.Directories)
                .ShouldBe(pages[(at + 1)..].SelectMany(page => page.Directories));
        }
    }

    [Fact]
    public async Task A_large_tree_comes_in_messages_that_every_client_takes()
    {
        using var client = await NewAsync(server);
        var leaves = Enumerable.Range(0, 8).Select(at => Leaf($"{at}-{new string('x', 400_000)}")).ToArray();
        var root = Parent([.. leaves.Select((leaf, at) => ($"d{at}", leaf))]);
        foreach (var directory in (Directory[])[root, .. leaves])
        {
            await client.PutAsync(directory);
        }

        var pages = await GetTreeAsync(client, DigestOf(root));
        pages.Count.ShouldBeGreaterThan(1);
        pages.ShouldAllBe(page => page.CalculateSize() < 4 << 20);
        pages.SelectMany(page => page.Directories).Count().ShouldBe(9);
    }

    [Fact]
    public async Task Tokens_and_sizes_that_are_none_are_refused()
    {
        using var client = await NewAsync(server);
        await client.PutAsync(Leaf("one"));
        var root = DigestOf(Leaf("one"));
        (await GetTreeAsync(client, root, token: "nonsense").RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await GetTreeAsync(client, root, token: Convert.ToBase64String(Bytes(32)).TrimEnd('=').Replace('+', '-').Replace('/', '_')).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await GetTreeAsync(client, root, pageSize: -1).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    [Fact]
    public async Task What_is_no_directory_has_no_tree()
    {
        using var client = await NewAsync(server);
        var noise = await client.PutAsync(Bytes(1000));
        (await GetTreeAsync(client, noise).RefusedAsync()).Status.ShouldBe(GrpcStatus.InvalidArgument);
        (await GetTreeAsync(client, Sha256Of([]))).Single().Directories.Single().ShouldBe(new Directory());
    }

    internal static Directory Leaf(string file) => new() { Files = { new FileNode { Name = file, Digest = Sha256Of(System.Text.Encoding.UTF8.GetBytes(file)) } } };

    internal static Directory Parent(params (string Name, Directory Directory)[] children) =>
        new() { Directories = { children.Select(child => new DirectoryNode { Name = child.Name, Digest = DigestOf(child.Directory) }) } };

    internal static Digest DigestOf(IMessage message) => Sha256Of(message.ToByteArray());

    private static Task<List<GetTreeResponse>> GetTreeAsync(ReapiClient client, Digest root, int pageSize = 0, string token = "") =>
        client.StreamAsync<GetTreeResponse>(CasPath + "GetTree", new GetTreeRequest { InstanceName = client.Instance, RootDigest = root, PageSize = pageSize, PageToken = token });
}
