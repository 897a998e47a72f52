using System.Diagnostics;
using System.Net;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Slipway.Testing;

namespace Slipway.Grpc.Tests;

/// <summary>What no gRPC library would send, over a socket of our own. After each, the server answers others as before.</summary>
public sealed class BadInputTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(new byte[] { 0, 0, 0, 0, 100, 1, 2, 3 }, GrpcStatus.InvalidArgument, "after 8 bytes")]
    [InlineData(new byte[] { 0, 0, 0 }, GrpcStatus.InvalidArgument, "after 3 bytes")]
    [InlineData(new byte[] { 0, 255, 255, 255, 255, 1 }, GrpcStatus.ResourceExhausted, "4294967295 bytes")]
    [InlineData(new byte[] { 0, 0, 64, 0, 1 }, GrpcStatus.ResourceExhausted, "at most 4194304")]
    [InlineData(new byte[] { 7, 0, 0, 0, 0 }, GrpcStatus.InvalidArgument, "byte 7")]
    [InlineData(new byte[] { 1, 0, 0, 0, 0 }, GrpcStatus.InvalidArgument, "names no compression")]
    [InlineData(new byte[] { 1, 0, 0, 0, 1, 9 }, GrpcStatus.Unimplemented, "'snappy'", "snappy")]
    [InlineData(new byte[] { 1, 0, 0, 0, 3, 1, 2, 3 }, GrpcStatus.InvalidArgument, "not", "gzip")]
    public async Task A_broken_message_has_a_status_and_a_reason(byte[] body, GrpcStatus expected, string reason, string? encoding = null)
    {
        await using var server = await GrpcServer.StartAsync(EchoService.Map);
        using var http = new HttpClient();
        foreach (var method in (string[])["ClientStream", "ServerStream"])
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(server.Url, EchoService.Name + method))
            {
                Version = HttpVersion.Version20,
                VersionPolicy = HttpVersionPolicy.RequestVersionExact,
                Content = new ByteArrayContent(body),
            };
            request.Content.Headers.ContentType = new("application/grpc+proto");
            if (encoding is not null)
            {
                request.Headers.Add("grpc-encoding", encoding);
            }

            using var response = await http.SendAsync(request, Token);
            response.StatusCode.ShouldBe(HttpStatusCode.OK);
            // Trailers only: one frame of headers and nothing else.
            response.Headers.GetValues("grpc-status").ShouldBe([((int)expected).ToString(System.Globalization.CultureInfo.InvariantCulture)]);
            response.Headers.GetValues("grpc-message").ShouldHaveSingleItem().ShouldContain(reason);
            response.Headers.Contains("grpc-accept-encoding").ShouldBe(expected == GrpcStatus.Unimplemented);
        }

        server.Log.Lines.ShouldNotContain(line => line.StartsWith("Error", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("application/json", 415)]
    [InlineData("application/grpc-web", 415)]
    [InlineData("application/grpc+proto; charset=x", 200)]
    public async Task Only_gRPC_is_taken(string contentType, int status)
    {
        await using var server = await GrpcServer.StartAsync(EchoService.Map);
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(server.Url, EchoService.Name + "Unary")) { Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact, Content = new ByteArrayContent([0, 0, 0, 0, 0]) };
        request.Content.Headers.TryAddWithoutValidation("content-type", contentType);
        using var response = await http.SendAsync(request, Token);
        ((int)response.StatusCode).ShouldBe(status);
    }

    [Theory]
    [InlineData("5", GrpcStatus.InvalidArgument)]
    [InlineData("123456789S", GrpcStatus.InvalidArgument)]
    [InlineData("-1S", GrpcStatus.InvalidArgument)]
    [InlineData("5x", GrpcStatus.InvalidArgument)]
    [InlineData("0S", GrpcStatus.DeadlineExceeded)]
    [InlineData("1n", GrpcStatus.DeadlineExceeded)]
    [InlineData("50m", GrpcStatus.DeadlineExceeded)]
    public async Task A_deadline_is_kept_by_the_server_alone(string timeout, GrpcStatus expected)
    {
        await using var server = await GrpcServer.StartAsync(EchoService.Map);
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(server.Url, EchoService.Name + "Hang")) { Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact, Content = new ByteArrayContent([0, 0, 0, 0, 0]) };
        request.Content.Headers.ContentType = new("application/grpc");
        request.Headers.TryAddWithoutValidation("grpc-timeout", timeout);
        using var response = await http.SendAsync(request, Token);
        response.Headers.GetValues("grpc-status").ShouldBe([((int)expected).ToString(System.Globalization.CultureInfo.InvariantCulture)]);
    }

    [Fact]
    public async Task A_flood_of_resets_costs_the_connection_and_nobody_else()
    {
        await using var server = await GrpcServer.StartAsync(EchoService.Map);
        using var attacker = await RawHttp2.ConnectAsync(server.Url);
        var goAway = attacker.ReadUntilAsync(frame => frame.Type == FrameType.GoAway);
        try
        {
            for (var stream = 1; stream < 200_000 && !goAway.IsCompleted; stream += 2)
            {
                await attacker.OpenAsync(EchoService.Name + "Bidi", stream);
                await attacker.SendAsync(FrameType.RstStream, 0, stream, [0, 0, 0, 8]);
            }
        }
        catch (System.Net.Sockets.SocketException)
        {
            // Cut already.
        }

        // ENHANCE_YOUR_CALM, or the connection is closed before it could be read. A server that does neither fails here.
        if (await goAway.WaitAsync(Eventually.DefaultDeadline, Token) is { } frame)
        {
            frame.Code.ShouldBe(11);
        }

        using var channel = new GrpcChannel(server.Url);
        (await channel.UnaryAsync(EchoService.Name + "Unary", new byte[3], GrpcCallOptions.None, Token)).Length.ShouldBe(3);
    }

    [Fact]
    public async Task Pings_are_answered()
    {
        await using var server = await GrpcServer.StartAsync(EchoService.Map);
        using var client = await RawHttp2.ConnectAsync(server.Url);
        await client.OpenAsync(EchoService.Name + "Bidi", 1);
        for (byte i = 0; i < 200; i++)
        {
            await client.SendAsync(FrameType.Ping, 0, 0, [i, 0, 0, 0, 0, 0, 0, 0]);
            (await client.ReadUntilAsync(frame => frame.Type == FrameType.Ping)).ShouldNotBeNull().Payload[0].ShouldBe(i);
        }
    }

    [Fact]
    public async Task Ten_thousand_idle_streams_are_bounded()
    {
        await using var server = await GrpcServer.StartAsync(EchoService.Map, kestrel: options => options.Limits.Http2.MaxStreamsPerConnection = 250);
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var connections = new List<RawHttp2>();
        try
        {
            for (var i = 0; i < 40; i++)
            {
                var connection = await RawHttp2.ConnectAsync(server.Url);
                connections.Add(connection);
                await connection.SendAsync([.. Enumerable.Range(0, 250).SelectMany(at => RawHttp2.Encode(FrameType.Headers, 4, (2 * at) + 1, RawHttp2.Headers(EchoService.Name + "Bidi")))]);
                // One message on the last: its echo says that all before were opened.
                await connection.SendAsync(FrameType.Data, 0, 499, [0, 0, 0, 0, 1, 7]);
                (await connection.ReadUntilAsync(frame => frame is { Type: FrameType.Data, Stream: 499 })).ShouldNotBeNull();
            }

            // One more than allowed is refused, not queued.
            await connections[0].OpenAsync(EchoService.Name + "Bidi", 501);
            (await connections[0].ReadUntilAsync(frame => frame is { Type: FrameType.RstStream or FrameType.GoAway })).ShouldNotBeNull();
            using var channel = new GrpcChannel(server.Url);
            (await channel.UnaryAsync(EchoService.Name + "Unary", new byte[3], GrpcCallOptions.None, Token)).Length.ShouldBe(3);
            var each = (GC.GetTotalMemory(forceFullCollection: true) - before) / 10_000;
            TestContext.Current.TestOutputHelper!.WriteLine($"{each} bytes a stream");
            // About 8 kB are Kestrel's and ours; the rest is room for other tests beside this one.
            each.ShouldBeLessThan(40_000);
        }
        finally
        {
            connections.ForEach(connection => connection.Dispose());
        }
    }

    [Fact]
    public async Task Large_messages_that_never_end_are_bounded_together()
    {
        await using var server = await GrpcServer.StartAsync(
            EchoService.Map, services => services.AddSingleton(new GrpcServerOptions { MaxPendingMessageBytes = 10_000_000 }));
        using var hoarder = await RawHttp2.ConnectAsync(server.Url);
        // 4,000,000 bytes announced, ten sent: two fit.
        byte[] begun = [0, 0, 0x3d, 0x09, 0x00, .. new byte[10]];
        foreach (var stream in (int[])[1, 3, 5])
        {
            await hoarder.OpenAsync(EchoService.Name + "ClientStream", stream);
            await hoarder.SendAsync(FrameType.Data, 0, stream, begun);
        }

        var refused = (await hoarder.ReadUntilAsync(frame => frame is { Type: FrameType.Headers, EndsStream: true })).ShouldNotBeNull();
        using var channel = new GrpcChannel(server.Url);
        (await Should.ThrowAsync<GrpcException>(() => channel.UnaryAsync(EchoService.Name + "Unary", new byte[3_000_000], GrpcCallOptions.None, Token)))
            .Status.ShouldBe(GrpcStatus.Unavailable);
        // Small ones go on, and the end of the two gives their room back.
        (await channel.UnaryAsync(EchoService.Name + "Unary", new byte[3], GrpcCallOptions.None, Token)).Length.ShouldBe(3);
        foreach (var stream in ((int[])[1, 3, 5]).Where(stream => stream != refused.Stream))
        {
            await hoarder.SendAsync(FrameType.RstStream, 0, stream, [0, 0, 0, 8]);
        }

        await Eventually.PassesAsync(
            async token => (await channel.UnaryAsync(EchoService.Name + "Unary", new byte[3_000_000], GrpcCallOptions.None, token)).Length.ShouldBe(3_000_000), Token);
    }

    [Fact]
    public async Task A_reader_that_stops_stops_the_writer_and_gets_everything_in_the_end()
    {
        var written = 0;
        await using var server = await GrpcServer.StartAsync(app => app.MapGrpc("/t.T/Much", GrpcMethodKind.ServerStreaming, async call =>
        {
            await call.ReadRequestAsync();
            for (var i = 0; i < 1000; i++)
            {
                call.WriteMessage(new byte[16 * 1024]);
                await call.FlushAsync();
                written++;
            }
        }));
        using var client = await RawHttp2.ConnectAsync(server.Url);
        await client.OpenAsync("/t.T/Much", 1);
        await client.SendAsync(FrameType.Data, 1, 1, [0, 0, 0, 0, 0]);
        // The standard window is 64 KiB: four messages, and what Kestrel buffers behind it.
        long bytes = 0;
        while (bytes < 65_535)
        {
            bytes += (await client.ReadUntilAsync(frame => frame.Type == FrameType.Data)).ShouldNotBeNull().Payload.Length;
        }

        written.ShouldBeLessThan(50);
        var whole = 1000L * (5 + (16 * 1024));
        await client.SendAsync(FrameType.WindowUpdate, 0, 1, [1, 0, 0, 0]);
        await client.SendAsync(FrameType.WindowUpdate, 0, 0, [1, 0, 0, 0]);
        while (bytes < whole)
        {
            bytes += (await client.ReadUntilAsync(frame => frame.Type == FrameType.Data)).ShouldNotBeNull().Payload.Length;
        }

        bytes.ShouldBe(whole);
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task A_slow_writer_is_not_cut_off()
    {
        await using var server = await GrpcServer.StartAsync(EchoService.Map, kestrel: options =>
        {
            options.Limits.MinRequestBodyDataRate = new MinDataRate(1_000_000, TimeSpan.FromSeconds(1.1));
            options.Limits.MinResponseDataRate = new MinDataRate(1_000_000, TimeSpan.FromSeconds(1.1));
        });
        using var client = await RawHttp2.ConnectAsync(server.Url);
        await client.OpenAsync(EchoService.Name + "ClientStream", 1);
        await client.SendAsync(FrameType.Data, 0, 1, [0, 0, 0]);
        // Kestrel looks once a second; after three looks it would have cut.
        var started = Stopwatch.GetTimestamp();
        await Eventually.TrueAsync(() => Stopwatch.GetElapsedTime(started) > TimeSpan.FromSeconds(3.5), Token);
        await client.SendAsync(FrameType.Data, 1, 1, [0, 1, 9]);
        var (frames, wasReset) = await client.ReadStreamAsync(1);
        wasReset.ShouldBeFalse();
        frames.ShouldContain(frame => frame.Type == FrameType.Data && frame.Payload.Length > 5);
    }

    [Fact]
    public async Task A_stopping_server_says_so_and_finishes_what_it_has()
    {
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var server = await GrpcServer.StartAsync(app =>
        {
            app.MapGrpc("/t.T/Wait", GrpcMethodKind.Unary, async call =>
            {
                await call.ReadRequestAsync();
                await release.Task;
                call.WriteMessage([7]);
            });
            app.MapGrpcHealth(new GrpcHealth());
        });
        using var client = await RawHttp2.ConnectAsync(server.Url);
        await client.OpenAsync("/t.T/Wait", 1);
        await client.SendAsync(FrameType.Data, 1, 1, [0, 0, 0, 0, 0]);
        // Health's Watch never ends by itself: a stopping server ends it.
        await client.OpenAsync("/grpc.health.v1.Health/Watch", 3);
        await client.SendAsync(FrameType.Data, 1, 3, [0, 0, 0, 0, 0]);
        (await client.ReadUntilAsync(frame => frame is { Type: FrameType.Data, Stream: 3 })).ShouldNotBeNull();
        var stopping = server.StopAsync(Token);
        var frames = new List<Frame>();
        while (frames.All(frame => frame.Type != FrameType.GoAway) || !frames.Any(frame => frame is { Stream: 3, EndsStream: true }))
        {
            frames.Add((await client.ReadAsync()).ShouldNotBeNull());
        }

        frames.First(frame => frame.Type == FrameType.GoAway).Code.ShouldBe(0);
        stopping.IsCompleted.ShouldBeFalse();
        release.SetResult();
        (await client.ReadUntilAsync(frame => frame is { Type: FrameType.Data, Stream: 1 })).ShouldNotBeNull().Payload.ShouldBe(new byte[] { 0, 0, 0, 0, 1, 7 });
        (await client.ReadUntilAsync(frame => frame is { Stream: 1, EndsStream: true })).ShouldNotBeNull();
        // Kestrel looks whether it is done when a frame comes. Without one it would wait for the client to close, up to the 30 s of a stop.
        await client.SendAsync(FrameType.Ping, 0, 0, new byte[8]);
        (await client.ReadUntilAsync(_ => false)).ShouldBeNull();
        await stopping;
        await server.DisposeAsync();
    }
}
