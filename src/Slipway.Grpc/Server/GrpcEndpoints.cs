using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Slipway.Grpc;

/// <summary>What answers the calls of one method. The call ends with OK when it returns.</summary>
public delegate ValueTask GrpcHandler(GrpcCall call);

public static class GrpcEndpoints
{
    /// <summary>
    /// Maps one method: <c>app.MapGrpc("/google.bytestream.ByteStream/Write", GrpcMethodKind.ClientStreaming, async call => …)</c>.
    /// Everything that can be put on an endpoint can be put on it. Needs routing, and Kestrel with HTTP/2.
    /// </summary>
    /// <param name="maxMessageBytes">The longest message taken from a client.</param>
    public static IEndpointConventionBuilder MapGrpc(
        this IEndpointRouteBuilder endpoints, string path, GrpcMethodKind kind, GrpcHandler handler, int maxMessageBytes = GrpcMethod.DefaultMaxMessageBytes)
    {
        if (path.Split('/') is not ["", { Length: > 0 }, { Length: > 0 }])
        {
            throw new ArgumentException($"'{path}' is not /package.Service/Method.", nameof(path));
        }

        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxMessageBytes);
        var method = new GrpcMethod(path, kind, maxMessageBytes);
        var services = endpoints.ServiceProvider;
        var logger = services.GetRequiredService<ILoggerFactory>().CreateLogger("Slipway.Grpc");
        var options = services.GetService<GrpcServerOptions>() ?? GrpcServerOptions.Default;
        var failures = new FailureStatus(options, logger);
        var endpoint = new GrpcEndpoint(method, handler, failures, options.Budget, services.GetService<TimeProvider>() ?? TimeProvider.System, logger);
        return endpoints.MapMethods(path, [HttpMethods.Post], endpoint.InvokeAsync).WithMetadata(method).WithDisplayName("gRPC " + path);
    }
}
