using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Slipway.Grpc.Tests;

/// <summary>A Kestrel on a free port of this machine, h2c, with the methods a test maps.</summary>
public sealed class GrpcServer : IAsyncDisposable
{
    private readonly WebApplication app;

    private GrpcServer(WebApplication app, RecordedLog log)
    {
        this.app = app;
        Log = log;
        Url = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
    }

    public Uri Url { get; }

    public RecordedLog Log { get; }

    public IServiceProvider Services => app.Services;

    public static async Task<GrpcServer> StartAsync(
        Action<WebApplication> map, Action<IServiceCollection>? add = null, Action<KestrelServerOptions>? kestrel = null, Action<ListenOptions>? listen = null)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(options =>
        {
            options.Listen(new IPEndPoint(IPAddress.Loopback, 0), one =>
            {
                one.Protocols = HttpProtocols.Http2;
                listen?.Invoke(one);
            });
            kestrel?.Invoke(options);
        });
        var log = new RecordedLog();
        builder.Logging.AddProvider(log);
        builder.Services.AddRoutingCore();
        add?.Invoke(builder.Services);
        var app = builder.Build();
        app.UseRouting();
        map(app);
        await app.StartAsync();
        return new GrpcServer(app, log);
    }

    public Task StopAsync(CancellationToken cancellationToken) => app.StopAsync(cancellationToken);

    public async ValueTask DisposeAsync()
    {
        await app.StopAsync(new CancellationToken(canceled: true));
        await app.DisposeAsync();
    }
}
