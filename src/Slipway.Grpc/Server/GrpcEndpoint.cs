using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.Logging;

namespace Slipway.Grpc;

/// <summary>Runs the calls of one method: checks the request, calls the handler, writes the status.</summary>
internal sealed partial class GrpcEndpoint(GrpcMethod method, GrpcHandler handler, FailureStatus failures, MessageBudget budget, TimeProvider time, ILogger logger)
{
    public const string ContentType = "application/grpc";

    /// <summary>Codes of RFC 9113, section 7.</summary>
    private const int InternalError = 2;

    public Task InvokeAsync(HttpContext http)
    {
        if (!IsGrpc(http.Request.ContentType))
        {
            http.Response.StatusCode = StatusCodes.Status415UnsupportedMediaType;
            http.Response.Headers.Accept = ContentType;
            return Task.CompletedTask;
        }

        if (!HttpProtocol.IsHttp2(http.Request.Protocol))
        {
            http.Response.StatusCode = StatusCodes.Status426UpgradeRequired;
            http.Response.Headers.Upgrade = "h2";
            return Task.CompletedTask;
        }

        // A stream may be of any length, and as slow as its sender: what bounds it is the message, the deadline and the window.
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
        {
            size.MaxRequestBodySize = null;
        }

        if (http.Features.Get<IHttpMinRequestBodyDataRateFeature>() is { } rate)
        {
            rate.MinDataRate = null;
        }

        http.Response.Headers.ContentType = ContentType;
        TimeSpan? timeout = null;
        var header = http.Request.Headers.GrpcTimeout;
        if (header.Count > 0)
        {
            if (!GrpcTimeout.TryParse(header[0], out var limit))
            {
                StatusTrailers.Write(http.Response.Headers, GrpcStatus.InvalidArgument, "grpc-timeout is not one to eight digits and one of H, M, S, m, u, n.", []);
                return Task.CompletedTask;
            }

            timeout = limit;
        }

        var started = time.GetTimestamp();
        var call = new GrpcCall(http, method, timeout, time, budget);
        ValueTask handling;
        try
        {
            handling = handler(call);
            if (!handling.IsCompletedSuccessfully)
            {
                return FinishLaterAsync(call, handling, started);
            }
        }
        catch (Exception failure)
        {
            handling = ValueTask.FromException(failure);
            return FinishLaterAsync(call, handling, started);
        }

        handling.GetAwaiter().GetResult();
        Finish(call, started);
        return Task.CompletedTask;
    }

    /// <summary><c>application/grpc</c>, with a subtype (<c>+proto</c>) or parameters. Not <c>application/grpc-web</c>, which is another protocol.</summary>
    public static bool IsGrpc(string? contentType) =>
        contentType is not null && contentType.StartsWith(ContentType, StringComparison.OrdinalIgnoreCase) &&
        (contentType.Length == ContentType.Length || contentType[ContentType.Length] is '+' or ';' or ' ');

    private async Task FinishLaterAsync(GrpcCall call, ValueTask handling, long started)
    {
        try
        {
            await handling.ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            if (failures.IsClientGone(failure, call.Http))
            {
                call.Finish();
                call.Http.Abort();
                Measure(GrpcStatus.Cancelled, started);
                return;
            }

            var because = StatusOf(call, failure);
            call.Fail(because.Status, because.Message, because.Details);
        }

        Finish(call, started);
    }

    private GrpcException StatusOf(GrpcCall call, Exception failure) => failure switch
    {
        OperationCanceledException when call.CutBecause is { } cut => cut,
        OperationCanceledException when call.IsPastDeadline => new GrpcException(GrpcStatus.DeadlineExceeded, "The deadline of the call passed before it was done."),
        _ => failures.Of(failure, call.Http),
    };

    private void Finish(GrpcCall call, long started)
    {
        End(call);
        Measure(call.Status, started);
    }

    private void Measure(GrpcStatus status, long started)
    {
        if (GrpcServerMetrics.IsWanted)
        {
            GrpcServerMetrics.Ended(method, status, time.GetElapsedTime(started));
        }
    }

    private void End(GrpcCall call)
    {
        call.Finish();
        var http = call.Http;
        if (call.Status == GrpcStatus.Ok && (call.IsMidMessage || (method.ServerSendsOne && call.MessagesWritten != 1)))
        {
            Log.WrongMessages(logger, method.Path, call.MessagesWritten);
            call.Fail(GrpcStatus.Internal, "The server failed on this call.");
        }

        if (call.IsMidMessage)
        {
            // The length of the message is out: the only thing left to say is that the rest will not come.
            if (http.Features.Get<IHttpResetFeature>() is { } reset)
            {
                reset.Reset(InternalError);
            }
            else
            {
                http.Abort();
            }

            return;
        }

        // Before anything is written the status can go with the headers, as one frame.
        var isOnly = !http.Response.HasStarted && call.MessagesWritten == 0;
        StatusTrailers.Write(isOnly ? http.Response.Headers : call.Trailers, call.Status, call.StatusMessage, call.StatusDetails);
        if (isOnly && call.Status == GrpcStatus.Unimplemented)
        {
            http.Response.Headers.GrpcAcceptEncoding = "identity,gzip";
        }
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Error, "{Method} returned after {Count} messages, or in the middle of one")]
        public static partial void WrongMessages(ILogger logger, string method, int count);
    }
}
