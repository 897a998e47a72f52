using System.Buffers;
using System.Globalization;

namespace Slipway.Grpc.Tests;

/// <summary>Our client and a server that is not ours.</summary>
[Trait("speed", "slow")]
public sealed class ForeignServerTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("plain")]
    [InlineData("gzip")]
    public async Task Our_client_gets_what_gRPC_promises(string compression)
    {
        using var server = await ForeignNode.StartAsync("server.js", compression);
        try
        {
            var port = int.Parse((await server.StandardOutput.ReadLineAsync(Token)).ShouldNotBeNull(), CultureInfo.InvariantCulture);
            using var channel = new GrpcChannel(new Uri($"http://127.0.0.1:{port}"), new GrpcChannelOptions { MaxMessageBytes = 16 << 20 });
            await CallAsync(channel);
        }
        finally
        {
            server.StandardInput.Close();
            await server.WaitForExitAsync(Token);
        }
    }

    private static async Task CallAsync(GrpcChannel channel)
    {
        var note = new Note(new string('ü', 5000), 3);
        Note.Parse(await channel.UnaryAsync(EchoService.Name + "Unary", note.ToBytes(), GrpcCallOptions.None, Token)).ShouldBe(note);
        Note.Parse(await channel.UnaryAsync(EchoService.Name + "Unary", note.ToBytes(), new GrpcCallOptions { Gzip = true }, Token)).ShouldBe(note);
        var large = new Note(new string('z', 6 << 20), 1);
        Note.Parse(await channel.UnaryAsync(EchoService.Name + "Unary", large.ToBytes(), GrpcCallOptions.None, Token)).ShouldBe(large);

        await using (var many = channel.ServerStreaming(EchoService.Name + "ServerStream", new Note("x", 500).ToBytes(), GrpcCallOptions.None, Token))
        {
            var count = 0;
            while (await many.ReadAsync() is { } message)
            {
                Note.Parse(message.ToArray()).Count.ShouldBe(++count);
            }

            count.ShouldBe(500);
        }

        await using (var upload = channel.Streaming(EchoService.Name + "ClientStream", GrpcCallOptions.None, Token))
        {
            for (var i = 0; i < 100; i++)
            {
                (await upload.WriteAsync(new Note(new string('y', 20_000), i).ToBytes())).ShouldBeTrue();
            }

            await upload.CompleteAsync();
            Note.Parse(await upload.ReadSingleAsync()).Count.ShouldBe(100);
        }

        await using (var both = channel.Streaming(EchoService.Name + "Bidi", GrpcCallOptions.None, Token))
        {
            for (var i = 1; i < 10; i++)
            {
                await both.WriteAsync(new Note("", i).ToBytes());
                Note.Parse((await both.ReadAsync()).ShouldNotBeNull().ToArray()).Count.ShouldBe(i);
            }

            await both.CompleteAsync();
            (await both.ReadAsync()).ShouldBeNull();
        }

        await using (var call = channel.ServerStreaming(
            EchoService.Name + "Unary", note.ToBytes(),
            new GrpcCallOptions { Metadata = [new("x-note", "plain"), GrpcCallOptions.Binary("x-note-bin", [0, 255, 1]), GrpcCallOptions.Binary("x-note-bin", [9])] }, Token))
        {
            (await call.GetHeadersAsync()).GetValues("x-note").ShouldBe(["plain"]);
            await call.ReadSingleAsync();
            GrpcClientCall.DecodeBinary(call.Trailers.ShouldNotBeNull(), "x-note-0-bin").ShouldHaveSingleItem().ShouldBe([0, 255, 1]);
            GrpcClientCall.DecodeBinary(call.Trailers, "x-note-1-bin").ShouldHaveSingleItem().ShouldBe([9]);
        }

        var failure = await Should.ThrowAsync<GrpcException>(() => channel.UnaryAsync(EchoService.Name + "Fail", new Note("not here: ✓ 100 %", 5).ToBytes(), GrpcCallOptions.None, Token));
        (failure.Status, failure.Message).ShouldBe((GrpcStatus.NotFound, "not here: ✓ 100 %"));
        await using (var late = channel.ServerStreaming(EchoService.Name + "FailLate", new Note("too late", 9).ToBytes(), GrpcCallOptions.None, Token))
        {
            (await late.ReadAsync()).ShouldNotBeNull();
            (await Should.ThrowAsync<GrpcException>(async () => await late.ReadAsync())).Status.ShouldBe(GrpcStatus.FailedPrecondition);
        }

        (await Should.ThrowAsync<GrpcException>(() => channel.UnaryAsync("/slipway.test.Echo/None", default, GrpcCallOptions.None, Token))).Status.ShouldBe(GrpcStatus.Unimplemented);
        (await Should.ThrowAsync<GrpcException>(() => channel.UnaryAsync(EchoService.Name + "Hang", default, new GrpcCallOptions { Timeout = TimeSpan.FromMilliseconds(200) }, Token)))
            .Status.ShouldBe(GrpcStatus.DeadlineExceeded);
        using var cancel = new CancellationTokenSource();
        var hanging = channel.UnaryAsync(EchoService.Name + "Hang", default, GrpcCallOptions.None, cancel.Token);
        await cancel.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => hanging);
    }
}
