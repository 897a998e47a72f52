using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Slipway.Grpc;

/// <summary>
/// Gives gRPC clients a status where HTTP middleware would give them an HTTP one: an unknown method, an exception on the way to the
/// handler. Other requests pass by.
/// </summary>
public static class GrpcAnswers
{
    /// <summary>Put it before routing, and inside whatever answers HTTP clients.</summary>
    public static IApplicationBuilder UseGrpcAnswers(this IApplicationBuilder app)
    {
        var failures = new FailureStatus(
            app.ApplicationServices.GetService<GrpcServerOptions>() ?? GrpcServerOptions.Default,
            app.ApplicationServices.GetRequiredService<ILoggerFactory>().CreateLogger("Slipway.Grpc"));
        return app.Use(next => http => IsGrpc(http) ? AnswerAsync(http, next, failures) : next(http));
    }

    /// <summary>Whether a gRPC client is at the other end.</summary>
    public static bool IsGrpc(HttpContext http) => GrpcEndpoint.IsGrpc(http.Request.ContentType) && HttpProtocol.IsHttp2(http.Request.Protocol);

    /// <summary>Ends a call that has not reached its handler. The response must not have started.</summary>
    public static void Refuse(HttpContext http, GrpcException because)
    {
        http.Response.Clear();
        http.Response.ContentType = GrpcEndpoint.ContentType;
        StatusTrailers.Write(http.Response.Headers, because.Status, because.Message, because.Details);
    }

    private static Task AnswerAsync(HttpContext http, RequestDelegate next, FailureStatus failures)
    {
        Task running;
        try
        {
            running = next(http);
        }
        catch (Exception failure)
        {
            running = Task.FromException(failure);
        }

        return running.IsCompletedSuccessfully && http.Response.StatusCode == StatusCodes.Status200OK ? Task.CompletedTask : AnswerLaterAsync(http, running, failures);
    }

    private static async Task AnswerLaterAsync(HttpContext http, Task running, FailureStatus failures)
    {
        try
        {
            await running.ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            if (http.Response.HasStarted || failures.IsClientGone(failure, http))
            {
                http.Abort();
                return;
            }

            Refuse(http, failures.Of(failure, http));
            return;
        }

        if (http.Response is { StatusCode: >= 400, HasStarted: false, ContentType: null } response)
        {
            var status = response.StatusCode;
            Refuse(http, status is StatusCodes.Status404NotFound or StatusCodes.Status405MethodNotAllowed or StatusCodes.Status415UnsupportedMediaType
                ? new GrpcException(GrpcStatus.Unimplemented, $"There is no method {http.Request.Path} here.")
                : new GrpcException(status == StatusCodes.Status503ServiceUnavailable ? GrpcStatus.Unavailable : GrpcStatus.Unknown, $"The call was refused with HTTP status {status}."));
        }
    }
}
