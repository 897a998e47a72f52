using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Grpc;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Cas;

/// <summary>The one place where failures of the build cache become statuses of gRPC.</summary>
internal static class ReapiFailure
{
    /// <summary>Null for what nobody has foreseen: a bug.</summary>
    public static GrpcException? Translate(Exception failure) => failure switch
    {
        GrpcException known => known,
        WireFormatException => new GrpcException(GrpcStatus.InvalidArgument, failure.Message),
        ApiException api => Translate(api),
        ContentStoreException store => store.Failure switch
        {
            ContentFailure.StoreFull or ContentFailure.QuotaExhausted => new GrpcException(GrpcStatus.ResourceExhausted, failure.Message, failure),
            ContentFailure.DigestMismatch => new GrpcException(GrpcStatus.InvalidArgument, failure.Message, failure),
            // Never NOT_FOUND for trouble of ours: a client would upload again, or a build without the bytes would break.
            _ => new GrpcException(GrpcStatus.Unavailable, failure.Message, failure),
        },
        Google.Protobuf.InvalidProtocolBufferException => new GrpcException(GrpcStatus.InvalidArgument, $"The message is not valid protobuf: {failure.Message}"),
        InvalidDataException => new GrpcException(GrpcStatus.DataLoss, failure.Message, failure),
        _ => null,
    };

    private static GrpcException Translate(ApiException api)
    {
        var status = api.Status switch
        {
            400 or 422 => GrpcStatus.InvalidArgument,
            401 => GrpcStatus.Unauthenticated,
            // NOT_FOUND would be a cache miss, and would tell an outsider what there is.
            403 or 404 => GrpcStatus.PermissionDenied,
            409 or 412 => GrpcStatus.FailedPrecondition,
            429 or 507 => GrpcStatus.ResourceExhausted,
            _ => GrpcStatus.Unavailable,
        };
        var text = api.Hint is null ? api.Message : $"{api.Message} {api.Hint}";
        return api.RetryAfter is { } delay ? new GrpcException(status, text, GrpcDetail.RetryAfter(delay)) : new GrpcException(status, text);
    }
}
