using System.Buffers;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Slipway.Grpc;

/// <summary>What <c>grpc.health.v1</c> says of a service; numbers as on the wire.</summary>
public enum GrpcServing
{
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
}

/// <summary>The health of a server's services, told by <c>grpc.health.v1.Health</c>: Check answers at once, Watch at every change.</summary>
public sealed class GrpcHealth
{
    /// <summary>Said by Watch of a service that is not known (yet).</summary>
    private const int ServiceUnknown = 3;

    /// <summary>A service name is a protobuf name; nobody's is near this.</summary>
    private const int MaxRequestBytes = 4 * 1024;

    private readonly Lock changing = new();
    private readonly Dictionary<string, GrpcServing> services = new(StringComparer.Ordinal) { [""] = GrpcServing.Serving };
    private TaskCompletionSource changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <param name="service"><c>package.Service</c>; empty for the server as a whole.</param>
    public void Set(string service, GrpcServing serving)
    {
        TaskCompletionSource before;
        lock (changing)
        {
            services[service] = serving;
            (before, changed) = (changed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        before.SetResult();
    }

    /// <summary>Sets every service there is: when the server as a whole stops serving.</summary>
    public void SetAll(GrpcServing serving)
    {
        TaskCompletionSource before;
        lock (changing)
        {
            foreach (var service in services.Keys.ToArray())
            {
                services[service] = serving;
            }

            (before, changed) = (changed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        before.SetResult();
    }

    internal IEnumerable<IEndpointConventionBuilder> Map(IEndpointRouteBuilder endpoints)
    {
        var stopping = endpoints.ServiceProvider.GetService<IHostApplicationLifetime>()?.ApplicationStopping ?? CancellationToken.None;
        yield return endpoints.MapGrpc("/grpc.health.v1.Health/Check", GrpcMethodKind.Unary, CheckAsync, MaxRequestBytes);
        yield return endpoints.MapGrpc("/grpc.health.v1.Health/Watch", GrpcMethodKind.ServerStreaming, call => WatchAsync(call, stopping), MaxRequestBytes);
    }

    private async ValueTask CheckAsync(GrpcCall call)
    {
        var service = ReadService(await call.ReadRequestAsync().ConfigureAwait(false));
        var (serving, _) = Look(service);
        if (serving == ServiceUnknown)
        {
            call.Fail(GrpcStatus.NotFound, $"There is no service '{service}' here.");
            return;
        }

        Write(call, serving);
    }

    private async ValueTask WatchAsync(GrpcCall call, CancellationToken stopping)
    {
        var service = ReadService(await call.ReadRequestAsync().ConfigureAwait(false));
        using var stop = stopping.UnsafeRegister(
            static call => ((GrpcCall)call!).Cut(new GrpcException(GrpcStatus.Unavailable, "The server is stopping.")), call);
        var told = -1;
        while (true)
        {
            var (serving, next) = Look(service);
            if (serving != told)
            {
                told = serving;
                Write(call, serving);
                await call.FlushAsync().ConfigureAwait(false);
            }

            await next.WaitAsync(call.Aborted).ConfigureAwait(false);
        }
    }

    private (int Serving, Task Changed) Look(string service)
    {
        lock (changing)
        {
            return (services.TryGetValue(service, out var serving) ? (int)serving : ServiceUnknown, changed.Task);
        }
    }

    private static void Write(GrpcCall call, int serving)
    {
        var response = new ProtoWriter();
        response.Number(1, (ulong)serving);
        call.WriteMessage(response.Written);
    }

    private static string ReadService(ReadOnlySequence<byte> request)
    {
        var service = "";
        try
        {
            var fields = new ProtoReader(request.ToArray());
            while (fields.Read())
            {
                service = fields.Field == 1 ? fields.Text : service;
            }
        }
        catch (FormatException fault)
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, fault.Message);
        }

        return service;
    }
}
