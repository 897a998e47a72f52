using System.Buffers;
using System.Globalization;
using System.Security.Cryptography;
using Google.Protobuf;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Content;
using Slipway.Content.Hashing;
using Slipway.Grpc;
using Slipway.Native;
using Slipway.Testing;
using Xunit;
using Digest = Slipway.BuildCache.Wire.Protos.Digest;

namespace Slipway.BuildCache.Tests.Reapi;

/// <summary>One server for all tests of the Remote Execution API; each test has a cache of its own.</summary>
[CollectionDefinition(nameof(ReapiCollection))]
public sealed class ReapiCollection : ICollectionFixture<BuildCacheServer>;

/// <summary>A client of one build cache that sends what it is told to, right or wrong.</summary>
internal sealed class ReapiClient : IDisposable
{
    public const string StreamPath = "/google.bytestream.ByteStream/";
    public const string CasPath = "/build.bazel.remote.execution.v2.ContentAddressableStorage/";
    public const string ActionPath = "/build.bazel.remote.execution.v2.ActionCache/";
    public const string CapabilitiesPath = "/build.bazel.remote.execution.v2.Capabilities/GetCapabilities";

    private readonly BuildCacheServer server;
    private readonly GrpcChannel channel;

    private ReapiClient(BuildCacheServer server, string instance, string? token)
    {
        this.server = server;
        Instance = instance;
        Token = token;
        channel = new GrpcChannel(server.Running.Server.GrpcUrl, new GrpcChannelOptions { MaxMessageBytes = 64 << 20 });
    }

    public string Instance { get; }

    public string? Token { get; init; }

    /// <summary>Sent as RequestMetadata.</summary>
    public RequestMetadata? Metadata { get; set; }

    /// <summary>More headers of the next calls.</summary>
    public List<KeyValuePair<string, string>> Headers { get; } = [];

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    /// <summary>A fresh cache, by its owner.</summary>
    public static async Task<ReapiClient> NewAsync(BuildCacheServer server, string settings = "") =>
        new(server, $"{AccessWorld.Org}/{await server.CacheAsync(settings: settings)}", server.Owner);

    public static ReapiClient Of(BuildCacheServer server, string instance, string? token) => new(server, instance, token);

    /// <summary>The same cache, by somebody else.</summary>
    public ReapiClient With(string? token) => new(server, Instance, token);

    /// <summary>Another instance name, by the same one.</summary>
    public ReapiClient On(string instance) => new(server, instance, Token);

    /// <summary>The same cache with a key of the owner with these rights.</summary>
    public async Task<ReapiClient> WithKeyAsync(params string[] rights) =>
        With(await server.World.IssueAsync(server.Owner, [.. rights.Select(right => $"buildcache:{right}:{Instance}")], CancellationToken));

    public static byte[] Bytes(int length, int seed = 1)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    /// <summary>Bytes that compress well.</summary>
    public static byte[] Text(int length) => [.. Enumerable.Range(0, length).Select(at => (byte)"all work and no play makes jack a dull boy "[at % 43])];

    public static Digest Sha256Of(ReadOnlySpan<byte> bytes) => new() { Hash = Convert.ToHexStringLower(SHA256.HashData(bytes)), SizeBytes = bytes.Length };

    public static Digest Blake3Of(ReadOnlySpan<byte> bytes)
    {
        Span<byte> hash = stackalloc byte[Blake3.HashSize];
        Blake3.HashData(bytes, hash);
        return new Digest { Hash = Convert.ToHexStringLower(hash), SizeBytes = bytes.Length };
    }

    public static byte[] Zstd(ReadOnlySpan<byte> bytes)
    {
        using var compressor = new ZstdCompressor(3);
        var output = new byte[bytes.Length + 1024];
        var length = 0;
        while (true)
        {
            var result = compressor.Compress(bytes, output.AsSpan(length), last: true);
            bytes = bytes[result.Consumed..];
            length += result.Written;
            if (result.FrameEnded)
            {
                return output[..length];
            }
        }
    }

    public static byte[] Unzstd(ReadOnlySpan<byte> frames, int length)
    {
        var output = new byte[length + 1];
        return ZstdFrames.TryDecompress(frames, output, out var written) ? output[..written] : throw new InvalidDataException("Not zstd.");
    }

    public string WriteName(Digest digest, string form = "blobs", string? uuid = null) =>
        $"{Instance}/uploads/{uuid ?? Guid.NewGuid().ToString()}/{form}/{digest.Hash}/{digest.SizeBytes.ToString(CultureInfo.InvariantCulture)}";

    public string ReadName(Digest digest, string form = "blobs") =>
        $"{Instance}/{form}/{digest.Hash}/{digest.SizeBytes.ToString(CultureInfo.InvariantCulture)}";

    public async Task<T> CallAsync<T>(string path, IMessage request)
        where T : IMessage<T>, new()
    {
        var response = new T();
        response.MergeFrom(await channel.UnaryAsync(path, request.ToByteArray(), Options, CancellationToken));
        return response;
    }

    /// <summary>A call with a message that is whatever bytes it is.</summary>
    public Task<byte[]> SendAsync(string path, byte[] message) => channel.UnaryAsync(path, message, Options, CancellationToken);

    public GrpcClientCall Stream(string path) => channel.Streaming(path, Options, CancellationToken);

    public async Task<List<T>> StreamAsync<T>(string path, IMessage request)
        where T : IMessage<T>, new()
    {
        await using var call = channel.ServerStreaming(path, request.ToByteArray(), Options, CancellationToken);
        List<T> responses = [];
        while (await call.ReadAsync() is { } message)
        {
            var response = new T();
            response.MergeFrom(message.ToArray());
            responses.Add(response);
        }

        return responses;
    }

    public async Task<byte[]> ReadAsync(string name, long offset = 0, long limit = 0)
    {
        var responses = await StreamAsync<ReadResponse>(StreamPath + "Read", new ReadRequest { ResourceName = name, ReadOffset = offset, ReadLimit = limit });
        return [.. responses.SelectMany(response => response.Data)];
    }

    /// <summary>Uploads in messages of Bazel's size; the name only in the first.</summary>
    public async Task<long> WriteAsync(string name, ReadOnlyMemory<byte> data, long offset = 0, int messageSize = 16 * 1024)
    {
        await using var call = Stream(StreamPath + "Write");
        for (var at = 0; ;)
        {
            var length = Math.Min(messageSize, data.Length - at);
            var message = new WriteRequest
            {
                ResourceName = at == 0 ? name : "",
                WriteOffset = offset + at,
                Data = UnsafeByteOperations.UnsafeWrap(data.Slice(at, length)),
                FinishWrite = at + length == data.Length,
            };
            at += length;
            if (!await call.WriteAsync(message.ToByteArray()) || message.FinishWrite)
            {
                break;
            }
        }

        await call.CompleteAsync();
        return WriteResponse.Parser.ParseFrom(await call.ReadSingleAsync()).CommittedSize;
    }

    /// <summary>Uploads these bytes under their SHA-256.</summary>
    public async Task<Digest> PutAsync(byte[] bytes)
    {
        var digest = Sha256Of(bytes);
        await WriteAsync(WriteName(digest), bytes);
        return digest;
    }

    public Task<Digest> PutAsync(IMessage message) => PutAsync(message.ToByteArray());

    public async Task<IReadOnlyList<Digest>> MissingAsync(params Digest[] digests) =>
        (await CallAsync<FindMissingBlobsResponse>(CasPath + "FindMissingBlobs", new FindMissingBlobsRequest { InstanceName = Instance, BlobDigests = { digests } })).MissingBlobDigests;

    public Task<QueryWriteStatusResponse> QueryAsync(string name) =>
        CallAsync<QueryWriteStatusResponse>(StreamPath + "QueryWriteStatus", new QueryWriteStatusRequest { ResourceName = name });

    public Task<ActionResult> GetActionAsync(Digest action, Action<GetActionResultRequest>? change = null)
    {
        var request = new GetActionResultRequest { InstanceName = Instance, ActionDigest = action };
        change?.Invoke(request);
        return CallAsync<ActionResult>(ActionPath + "GetActionResult", request);
    }

    public Task<ActionResult> UpdateActionAsync(Digest action, ActionResult? result) =>
        CallAsync<ActionResult>(ActionPath + "UpdateActionResult", new UpdateActionResultRequest { InstanceName = Instance, ActionDigest = action, ActionResult = result });

    /// <summary>The space in which the blobs of this cache are.</summary>
    public ContentSpace Space
    {
        get
        {
            var parts = Instance.Split('/');
            return server.Service<BuildCache.Namespaces.CacheSpaces>().Of(server.Directory.Find(parts[0], parts[1])!.Id);
        }
    }

    public static BlobKey KeyOf(Digest digest) => new(BlobKind.Sha256, Content.Digest.Parse(digest.Hash));

    public void Dispose() => channel.Dispose();

    private GrpcCallOptions Options => new()
    {
        Metadata =
        [
            .. Token is null ? Array.Empty<KeyValuePair<string, string>>() : [new("authorization", "Bearer " + Token)],
            .. Metadata is null ? Array.Empty<KeyValuePair<string, string>>() : [GrpcCallOptions.Binary("build.bazel.remote.execution.v2.requestmetadata-bin", Metadata.ToByteArray())],
            .. Headers,
        ],
    };
}

internal static class Refusals
{
    /// <summary>The status that a call which must fail ends with.</summary>
    public static async Task<GrpcException> RefusedAsync(this Task call)
    {
        try
        {
            await call;
        }
        catch (GrpcException refusal)
        {
            return refusal;
        }

        throw new InvalidOperationException("The call was not refused.");
    }
}
