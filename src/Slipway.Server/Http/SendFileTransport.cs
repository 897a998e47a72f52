using System.IO.Pipelines;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Slipway.Server.Http;

/// <summary>
/// Makes <c>Response.SendFileAsync</c> a matter of the kernel on plain HTTP/1.1, where Kestrel by itself reads the file into
/// memory and writes it out again. Handlers stay as they are.
/// </summary>
internal static class SendFileTransport
{
    /// <summary>Puts <see cref="SendFileOutput"/> under every endpoint and <see cref="SendFileResponseBody"/> into every request.</summary>
    /// <remarks>
    /// Kestrel keeps one endpoint default: who sets another with <c>ConfigureEndpointDefaults</c> calls <see cref="UseSendFile"/> in it.
    /// </remarks>
    public static IWebHostBuilder UseSendFileTransport(this IWebHostBuilder host) => host.ConfigureServices(services =>
    {
        // Ahead of everybody else's configuration: defaults reach only endpoints that are added after them.
        services.Insert(0, ServiceDescriptor.Singleton<IConfigureOptions<KestrelServerOptions>>(
            new ConfigureOptions<KestrelServerOptions>(options => options.ConfigureEndpointDefaults(UseSendFile))));
        services.AddTransient<IStartupFilter, RequestFilter>();
    });

    /// <summary>The same for one endpoint. Must come before <c>UseHttps</c>, and does, as an endpoint default.</summary>
    public static void UseSendFile(this ListenOptions endpoint) => 
        // Over HTTP/2 a response is not the only one on its connection. What the protocols are is known when the endpoint is bound.
        endpoint.Use(next => endpoint.Protocols == HttpProtocols.Http2 ? next : connection => OnConnectionAsync(connection, next));

    private static async Task OnConnectionAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        if (connection.Features.Get<IConnectionSocketFeature>() is not { Socket: var socket }
            || connection.Features.Get<IMemoryPoolFeature>() is not { MemoryPool: var memoryPool })
        {
            await next(connection);
            return;
        }

        var transport = connection.Transport;
        var output = new SendFileOutput(connection, socket, memoryPool);
        connection.Transport = new DuplexPipe(transport.Input, output);
        connection.Features.Set(output);
        try
        {
            await next(connection);
        }
        finally
        {
            // Kestrel closes the socket once it gets its transport back.
            await output.DrainAsync();
            connection.Transport = transport;
        }
    }

    private sealed record DuplexPipe(PipeReader Input, PipeWriter Output) : IDuplexPipe;

    /// <summary>First in the pipeline, so that whatever wraps the response body later (compression, logging) wraps this one.</summary>
    private sealed class RequestFilter : IStartupFilter
    {
        public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => app =>
        {
            app.Use(static (http, next) =>
            {
                if (http.Features.Get<SendFileOutput>() is { } output && http.Features.Get<IHttpResponseBodyFeature>() is { } body)
                {
                    http.Features.Set<IHttpResponseBodyFeature>(new SendFileResponseBody(body, http, output));
                }

                return next(http);
            });
            next(app);
        };
    }
}
