using System.Buffers;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Slipway.Grpc;

namespace Slipway.Bench.Grpc;

/// <summary>The measured process: methods that do nothing, so that what is left is Kestrel and the framing.</summary>
internal static class BenchServer
{
    public static async Task RunAsync()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.Http2.InitialStreamWindowSize = 1 << 20;
            kestrel.Limits.Http2.InitialConnectionWindowSize = 8 << 20;
            kestrel.Limits.Http2.MaxStreamsPerConnection = 256;
            kestrel.Listen(IPAddress.Loopback, 0, one => one.Protocols = HttpProtocols.Http2);
        });
        builder.Services.AddRoutingCore();
        var app = builder.Build();
        app.UseRouting();
        var answer = new byte[] { 8, 50 };
        app.MapGrpc("/bench.Bench/Unary", GrpcMethodKind.Unary, async call =>
        {
            await call.ReadRequestAsync();
            call.WriteMessage(answer);
        });
        // The shape of ByteStream.Write: messages until the half-close, one answer.
        app.MapGrpc("/bench.Bench/Write", GrpcMethodKind.ClientStreaming, async call =>
        {
            long bytes = 0;
            while (await call.ReadMessageAsync() is { } message)
            {
                bytes += message.Length;
            }

            call.WriteMessage(answer);
        });
        app.MapGrpc("/bench.Bench/Read", GrpcMethodKind.ServerStreaming, async call =>
        {
            await call.ReadRequestAsync();
            call.WriteMessage(answer);
        });
        app.MapGrpc("/bench.Bench/Miss", GrpcMethodKind.Unary, async call =>
        {
            await call.ReadRequestAsync();
            call.Fail(GrpcStatus.NotFound, "not here");
        });
        // A stream of 16 KiB messages, as Bazel reads and writes large blobs.
        var block = new byte[16 * 1024];
        app.MapGrpc("/bench.Bench/Download", GrpcMethodKind.ServerStreaming, async call =>
        {
            await call.ReadRequestAsync();
            for (var i = 0; i < 512; i++)
            {
                call.WriteMessage(block);
                await call.FlushIfFullAsync();
            }
        });
        // The floor: the same bytes with nothing of ours.
        var bare = new byte[] { 0, 0, 0, 0, 2, 8, 50 };
        app.MapPost("/bench.Bare/Unary", async http =>
        {
            while (true)
            {
                var read = await http.Request.BodyReader.ReadAsync();
                http.Request.BodyReader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
                if (read.IsCompleted)
                {
                    break;
                }
            }

            http.Response.ContentType = "application/grpc";
            http.Response.BodyWriter.Write(bare);
            http.Response.AppendTrailer("grpc-status", "0");
        });
        await app.StartAsync();
        Console.WriteLine(new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First()).Port);
        // Until the measuring process closes our input or ends.
        await Console.In.ReadToEndAsync();
        await app.StopAsync();
    }
}
