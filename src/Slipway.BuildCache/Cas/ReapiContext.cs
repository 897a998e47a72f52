using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.Grpc;

namespace Slipway.BuildCache.Cas;

/// <summary>What the services of the Remote Execution API share: who calls, where the blobs are, what is recorded.</summary>
internal sealed class ReapiContext(BuildCacheDirectory directory, IRequestLog log, TimeProvider time)
{
    /// <summary>Advertised for batches: the message limit of gRPC clients, who size their batches by it.</summary>
    public const int AdvertisedBatchBytes = 4 * 1024 * 1024;

    /// <summary>Taken in fact: some clients (casupload) count blobs and not the message around them.</summary>
    public const int LargestBatchBytes = 8 * 1024 * 1024;

    /// <summary>Larger messages than that aren't even read. What is between the two limits gets an answer that says what to do.</summary>
    public const int LargestBatchMessage = 16 * 1024 * 1024;

    public TimeProvider Time => time;

    /// <exception cref="Tenancy.ApiException">The caller has not got the rights that are needed.</exception>
    public ValueTask<BuildCacheAccess> AccessAsync(GrpcCall call, ReadOnlySpan<byte> instanceName, BuildCacheRights needed) =>
        directory.FindAsync(call.Http, instanceName, needed, CancellationToken.None);

    public long Start() => time.GetTimestamp();

    public TimeSpan Since(long start) => time.GetElapsedTime(start);

    public void Record(in RequestRecord record) => log.Record(record);

    /// <summary>
    /// Whether this client was told that it may write while it may not: Bazel before 6.0 (and builds of it that tell no version)
    /// ends with an error when a cache is read-only, instead of only reading from it. Its writes are then accepted and dropped.
    /// </summary>
    public static bool IsHumoured(RequestMetadata client) => client.IsBazel && client.MajorVersion is null or < 6;

    /// <summary>Cuts a stream when the right of its caller ends. Dispose it when the stream is done.</summary>
    public static CancellationTokenRegistration CutWhenEnded(GrpcCall call, BuildCacheAccess access) => access.Ended.UnsafeRegister(
        static state => ((GrpcCall)state!).Cut(new GrpcException(GrpcStatus.Unauthenticated, "The right to use this build cache has ended: the key was revoked or has expired, or the cache is gone.")),
        call);
}
