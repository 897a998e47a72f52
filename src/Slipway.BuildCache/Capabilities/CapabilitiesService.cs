using Google.Protobuf;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Grpc;
using Slipway.Tenancy;
using Compressors = Slipway.BuildCache.Wire.Protos.Compressor.Types.Value;
using DigestFunctions = Slipway.BuildCache.Wire.Protos.DigestFunction.Types.Value;
using RequestMetadata = Slipway.BuildCache.Wire.RequestMetadata;

namespace Slipway.BuildCache.Capabilities;

/// <summary>
/// <c>build.bazel.remote.execution.v2.Capabilities</c>: what this cache can do, said so that each client goes on. Asked once a build.
/// </summary>
internal sealed class CapabilitiesService(ReapiContext context)
{
    public async ValueTask GetAsync(GrpcCall call)
    {
        using var message = new Wire.Message(await call.ReadRequestAsync());
        var client = RequestMetadata.Of(call.Http);
        ServerCapabilities capabilities;
        try
        {
            var access = await context.AccessAsync(call, InstanceOf(message.Span), BuildCacheRights.None);
            capabilities = Of(access.MayWriteActions, access.Cache.MaxBlobBytes, client);
        }
        catch (ApiException refusal) when (refusal.Status == 401 && call.Http.Request.Headers.Authorization.Count == 0 && AsksWithoutCredential(client))
        {
            // The same for every name, so nothing is told. What comes next has its credential, or is refused.
            capabilities = Of(mayWriteActions: true, maxBlobBytes: 0, client);
        }

        call.WriteMessage(capabilities.ToByteArray());
    }

    /// <summary>Bazel 2.1 puts its --remote_header on every call but this one, and ends with an error when this one is refused; 4.2.3 puts it here too.</summary>
    private static bool AsksWithoutCredential(RequestMetadata client) => client.IsBazel && client.MajorVersion < 4;

    /// <summary>What <paramref name="client"/> is told.</summary>
    /// <param name="maxBlobBytes">0: not told.</param>
    private static ServerCapabilities Of(bool mayWriteActions, long maxBlobBytes, RequestMetadata client)
    {
        var cache = new CacheCapabilities
        {
            DigestFunctions = { DigestFunctions.Sha256, DigestFunctions.Blake3 },
            // Bazel before 6 ends with an error when this is false, unless it was told not to upload; it is told yes, and its writes
            // are dropped (reapi 4.1: tested with 4.2.3).
            ActionCacheUpdateCapabilities = new ActionCacheUpdateCapabilities { UpdateEnabled = mayWriteActions || ReapiContext.IsHumoured(client) },
            // An empty range makes Bazel fail before the build when a priority is configured. The priority itself changes nothing here.
            CachePriorityCapabilities = AnyPriority(),
            MaxBatchTotalSizeBytes = ReapiContext.AdvertisedBatchBytes,
            SymlinkAbsolutePathStrategy = SymlinkAbsolutePathStrategy.Types.Value.Allowed,
            SupportedCompressors = { Compressors.Zstd },
            SupportedBatchUpdateCompressors = { Compressors.Zstd },
            MaxCasBlobSizeBytes = maxBlobBytes,
            SplitBlobSupport = true,
            SpliceBlobSupport = true,
            FastCdc2020Params = new FastCdc2020Params { AvgChunkSizeBytes = FastCdc.AverageSize, Seed = 0 },
        };
        return new ServerCapabilities
        {
            CacheCapabilities = cache,
            // Bazel 4.2.3 and Debian's 7.7.1 speak exactly 2.0, and refuse a server whose lowest is above it.
            LowApiVersion = new SemVer { Major = 2, Minor = 0 },
            HighApiVersion = new SemVer { Major = 2, Minor = 12 },
        };
    }

    private static PriorityCapabilities AnyPriority() => new()
    {
        Priorities = { new PriorityCapabilities.Types.PriorityRange { MinPriority = int.MinValue, MaxPriority = int.MaxValue } },
    };

    private static ReadOnlySpan<byte> InstanceOf(ReadOnlySpan<byte> message)
    {
        ReadOnlySpan<byte> instance = default;
        var reader = new Wire.ProtoReader(message);
        while (reader.Next(out var field))
        {
            if (field == 1)
            {
                instance = reader.Bytes();
            }
            else
            {
                reader.Skip();
            }
        }

        return instance;
    }
}
