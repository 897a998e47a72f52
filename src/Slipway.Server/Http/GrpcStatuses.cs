using Microsoft.AspNetCore.Http;
using Slipway.Grpc;

namespace Slipway.Server.Http;

/// <summary>What gRPC clients hear of failures: the same sentences that HTTP clients get as problems, under the status that fits.</summary>
internal static class GrpcStatuses
{
    public static GrpcException? Of(Exception failure)
    {
        var problem = ProblemAnswers.Of(failure);
        if (problem.Status == StatusCodes.Status500InternalServerError)
        {
            // Ours: to be logged, and nothing of it told.
            return null;
        }

        var status = problem.Status switch
        {
            StatusCodes.Status401Unauthorized => GrpcStatus.Unauthenticated,
            StatusCodes.Status403Forbidden => GrpcStatus.PermissionDenied,
            StatusCodes.Status404NotFound => GrpcStatus.NotFound,
            StatusCodes.Status408RequestTimeout => GrpcStatus.DeadlineExceeded,
            StatusCodes.Status409Conflict => GrpcStatus.Aborted,
            StatusCodes.Status412PreconditionFailed or StatusCodes.Status428PreconditionRequired => GrpcStatus.FailedPrecondition,
            StatusCodes.Status413PayloadTooLarge or StatusCodes.Status429TooManyRequests or StatusCodes.Status507InsufficientStorage => GrpcStatus.ResourceExhausted,
            StatusCodes.Status503ServiceUnavailable => GrpcStatus.Unavailable,
            _ => GrpcStatus.InvalidArgument,
        };
        return new GrpcException(
            status,
            problem.Hint is null ? problem.Message : $"{problem.Message} {problem.Hint}",
            failure,
            problem.RetryAfter is { } wait ? [GrpcDetail.RetryAfter(wait)] : []);
    }
}
