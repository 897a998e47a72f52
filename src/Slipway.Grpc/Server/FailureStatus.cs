using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Slipway.Grpc;

/// <summary>The one place where an exception becomes a status. Nothing of an exception that is not meant for clients reaches one.</summary>
internal sealed partial class FailureStatus(GrpcServerOptions options, ILogger logger)
{
    public GrpcException Of(Exception failure, HttpContext http)
    {
        if (failure is GrpcException known)
        {
            return known;
        }

        if (options.Translate(failure) is { } translated)
        {
            if (translated.Status == GrpcStatus.Unavailable)
            {
                Log.Unavailable(logger, http.Request.Path.Value, failure.Message, http.TraceIdentifier);
            }

            return translated;
        }

        if (failure is BadHttpRequestException bad)
        {
            return new GrpcException(GrpcStatus.InvalidArgument, bad.Message);
        }

        Log.Failed(logger, failure, http.Request.Path.Value, http.TraceIdentifier);
        return new GrpcException(GrpcStatus.Internal, $"The server failed on this call. Its log says why, under {http.TraceIdentifier}.");
    }

    /// <summary>True when there is nobody to answer and nothing wrong with us.</summary>
    public bool IsClientGone(Exception failure, HttpContext http)
    {
        // A reset can be seen by the reader of the body before the request counts as aborted.
        var gone = failure is ConnectionResetException or ConnectionAbortedException ||
            (failure is OperationCanceledException or IOException && http.RequestAborted.IsCancellationRequested);
        if (gone)
        {
            Log.ClientLeft(logger, http.Request.Path.Value);
        }

        return gone;
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Debug, "the client of {Method} went away")]
        public static partial void ClientLeft(ILogger logger, string? method);

        [LoggerMessage(LogLevel.Warning, "{Method} could not be served: {Reason}; call {Id}")]
        public static partial void Unavailable(ILogger logger, string? method, string reason, string id);

        [LoggerMessage(LogLevel.Error, "{Method} failed; call {Id}")]
        public static partial void Failed(ILogger logger, Exception exception, string? method, string id);
    }
}
