using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Shouldly;
using Slipway.Server.Http;
using Xunit;

namespace Slipway.Server.Tests.Http;

/// <summary>
/// A server of files on a loopback port: <c>/file?path=…&amp;offset=…&amp;count=…</c>, <c>/framed?path=…</c> (the file between two
/// words) and <c>/hello</c>.
/// </summary>
internal sealed class FileServer : IAsyncDisposable
{
    public const string Hello = "hello";

    private readonly WebApplication app;
    private readonly Channel<Exception?> outcomes = Channel.CreateUnbounded<Exception?>();
    private readonly CancellationTokenSource cancelFiles = new();

    private readonly bool sendFile;

    private FileServer(WebApplication app, bool sendFile)
    {
        this.app = app;
        this.sendFile = sendFile;
    }

    public Uri Address => new(app.Services.GetRequiredService<Microsoft.AspNetCore.Hosting.Server.IServer>()
        .Features.Get<IServerAddressesFeature>()!.Addresses.Single());

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public static async Task<FileServer> StartAsync(bool sendFile = true, Action<ListenOptions>? endpoint = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => endpoint?.Invoke(listen)));
        if (sendFile)
        {
            builder.WebHost.UseSendFileTransport();
        }

        var server = new FileServer(builder.Build(), sendFile);
        server.app.Run(server.ServeAsync);
        await server.app.StartAsync(CancellationToken);
        return server;
    }

    /// <summary>How the next file request ended: its exception, or null.</summary>
    public async Task<Exception?> OutcomeAsync()
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(CancellationToken);
        deadline.CancelAfter(TimeSpan.FromSeconds(30));
        return await outcomes.Reader.ReadAsync(deadline.Token);
    }

    public void CancelFiles() => cancelFiles.Cancel();

    public HttpClient Client() => new(new SocketsHttpHandler
    {
        SslOptions = { RemoteCertificateValidationCallback = (_, _, _, _) => true },
    })
    {
        BaseAddress = Address,
        DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
    };

    /// <summary>A connection with a small receive buffer, so that the server soon has to wait for its reader.</summary>
    public async Task<Socket> ConnectAsync()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };
        await socket.ConnectAsync(IPAddress.Loopback, Address.Port, CancellationToken);
        return socket;
    }

    public async ValueTask DisposeAsync()
    {
        await app.DisposeAsync();
        cancelFiles.Dispose();
    }

    private async Task ServeAsync(HttpContext http)
    {
        if (http.Request.Path == "/hello")
        {
            http.Response.ContentLength = Hello.Length;
            await http.Response.WriteAsync(Hello, http.RequestAborted);
            return;
        }

        // Without this a test of the fast path would pass on Kestrel's own.
        (http.Features.Get<SendFileOutput>() is not null).ShouldBe(sendFile);
        try
        {
            if (Number("rate") is { } rate)
            {
                http.Features.Get<IHttpMinResponseDataRateFeature>()!.MinDataRate = new MinDataRate(rate, TimeSpan.FromSeconds(1.1));
            }

            var path = http.Request.Query["path"].ToString();
            var offset = Number("offset") ?? 0;
            var count = Number("count") ?? new FileInfo(path).Length - offset;
            using var cancelled = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, cancelFiles.Token);
            if (http.Request.Path == "/framed")
            {
                http.Response.ContentLength = count + 10;
                await http.Response.WriteAsync("begin", cancelled.Token);
                await http.Response.SendFileAsync(path, offset, count, cancelled.Token);
                await http.Response.WriteAsync("finis", cancelled.Token);
            }
            else
            {
                http.Response.ContentLength = count;
                await http.Response.SendFileAsync(path, offset, count, cancelled.Token);
            }

            outcomes.Writer.TryWrite(null);
        }
        catch (Exception exception)
        {
            outcomes.Writer.TryWrite(exception);
            throw;
        }

        long? Number(string name) => http.Request.Query.TryGetValue(name, out var value)
            ? long.Parse(value.ToString(), CultureInfo.InvariantCulture)
            : null;
    }
}
