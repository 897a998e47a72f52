using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Slipway.BuildCache.ActionCache;
using Slipway.BuildCache.Assets;
using Slipway.BuildCache.ByteStream;
using Slipway.BuildCache.Capabilities;
using Slipway.Grpc;

namespace Slipway.BuildCache.Cas;

/// <summary>The services of the Remote Execution API's cache, and where each of their methods is.</summary>
internal static class ReapiServices
{
    private const string Execution = "/build.bazel.remote.execution.v2.";

    /// <summary>Needs a <see cref="Namespaces.BuildCacheDirectory"/>. Records nothing unless an <see cref="IRequestLog"/> was added before.</summary>
    public static IServiceCollection AddReapi(this IServiceCollection services)
    {
        services.TryAddSingleton<IRequestLog, NoRequestLog>();
        services.AddSingleton<ReapiContext>();
        services.AddSingleton<UploadRegister>();
        services.AddSingleton<ByteStreamRead>();
        services.AddSingleton<ByteStreamWrite>();
        services.AddSingleton<FindMissing>();
        services.AddSingleton<BatchBlobs>();
        services.AddSingleton<TreeWalk>();
        services.AddSingleton<ChunkedBlobs>();
        services.AddSingleton<ActionCacheService>();
        services.AddSingleton<CapabilitiesService>();
        services.AddSingleton(_ => new AssetDownloader(PublicAddresses.Contains));
        services.AddSingleton<AssetService>();
        return services;
    }

    public static IEndpointRouteBuilder MapReapi(this IEndpointRouteBuilder endpoints)
    {
        var services = endpoints.ServiceProvider;
        var read = services.GetRequiredService<ByteStreamRead>();
        var write = services.GetRequiredService<ByteStreamWrite>();
        Map("/google.bytestream.ByteStream/Read", GrpcMethodKind.ServerStreaming, read.ReadAsync);
        Map("/google.bytestream.ByteStream/Write", GrpcMethodKind.ClientStreaming, write.WriteAsync);
        Map("/google.bytestream.ByteStream/QueryWriteStatus", GrpcMethodKind.Unary, write.QueryAsync);

        Map(Execution + "Capabilities/GetCapabilities", GrpcMethodKind.Unary, services.GetRequiredService<CapabilitiesService>().GetAsync);

        var actions = services.GetRequiredService<ActionCacheService>();
        Map(Execution + "ActionCache/GetActionResult", GrpcMethodKind.Unary, actions.GetAsync);
        Map(Execution + "ActionCache/UpdateActionResult", GrpcMethodKind.Unary, actions.UpdateAsync);

        const string Cas = Execution + "ContentAddressableStorage/";
        var batches = services.GetRequiredService<BatchBlobs>();
        var chunked = services.GetRequiredService<ChunkedBlobs>();
        Map(Cas + "FindMissingBlobs", GrpcMethodKind.Unary, services.GetRequiredService<FindMissing>().AnswerAsync, ReapiContext.LargestBatchMessage);
        Map(Cas + "BatchUpdateBlobs", GrpcMethodKind.Unary, batches.UpdateAsync, ReapiContext.LargestBatchMessage);
        Map(Cas + "BatchReadBlobs", GrpcMethodKind.Unary, batches.ReadAsync, ReapiContext.LargestBatchMessage);
        Map(Cas + "GetTree", GrpcMethodKind.ServerStreaming, services.GetRequiredService<TreeWalk>().AnswerAsync);
        Map(Cas + "SplitBlob", GrpcMethodKind.Unary, chunked.SplitAsync);
        Map(Cas + "SpliceBlob", GrpcMethodKind.Unary, chunked.SpliceAsync, ReapiContext.LargestBatchMessage);

        const string Asset = "/build.bazel.remote.asset.v1.";
        var assets = services.GetRequiredService<AssetService>();
        Map(Asset + "Fetch/FetchBlob", GrpcMethodKind.Unary, assets.FetchBlobAsync);
        Map(Asset + "Fetch/FetchDirectory", GrpcMethodKind.Unary, assets.FetchDirectoryAsync);
        Map(Asset + "Push/PushBlob", GrpcMethodKind.Unary, assets.PushBlobAsync);
        Map(Asset + "Push/PushDirectory", GrpcMethodKind.Unary, assets.PushDirectoryAsync);
        return endpoints;

        void Map(string path, GrpcMethodKind kind, GrpcHandler handler, int maxMessageBytes = GrpcMethod.DefaultMaxMessageBytes) =>
            endpoints.MapGrpc(path, kind, call => AnswerAsync(handler, call), maxMessageBytes).WithMetadata(new ExcludeFromDescriptionAttribute());
    }

    private static async ValueTask AnswerAsync(GrpcHandler handler, GrpcCall call)
    {
        try
        {
            await handler(call);
        }
        catch (Exception failure) when (failure is not GrpcException && ReapiFailure.Translate(failure) is { } known)
        {
            throw known;
        }
    }

    private sealed class NoRequestLog : IRequestLog
    {
        public void Record(in RequestRecord record)
        {
        }
    }
}
