using System.Buffers;

namespace Slipway.Grpc.Tests;

/// <summary>Our client and our server.</summary>
public sealed class CallTests : IAsyncLifetime
{
    private GrpcServer server = null!;
    private GrpcChannel channel = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        server = await GrpcServer.StartAsync(EchoService.Map);
        channel = new GrpcChannel(server.Url);
    }

    public async ValueTask DisposeAsync()
    {
        channel.Dispose();
        await server.DisposeAsync();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(50)]
    [InlineData(16_384)]
    [InlineData(3_000_000)]
    public async Task A_unary_call_is_answered(int length)
    {
        var message = new byte[length];
        Random.Shared.NextBytes(message);
        (await channel.UnaryAsync(EchoService.Name + "Unary", message, GrpcCallOptions.None, Token)).ShouldBe(message);
    }

    [Fact]
    public async Task A_server_streams()
    {
        await using var call = channel.ServerStreaming(EchoService.Name + "ServerStream", new Note("hello", 1000).ToBytes(), GrpcCallOptions.None, Token);
        var counts = new List<int>();
        while (await call.ReadAsync() is { } message)
        {
            counts.Add(Note.Parse(message.ToArray()).Count);
        }

        counts.ShouldBe(Enumerable.Range(1, 1000));
    }

    [Fact]
    public async Task A_client_streams()
    {
        await using var call = channel.Streaming(EchoService.Name + "ClientStream", GrpcCallOptions.None, Token);
        for (var i = 0; i < 300; i++)
        {
            (await call.WriteAsync(new byte[16_500])).ShouldBeTrue();
        }

        await call.CompleteAsync();
        Note.Parse(await call.ReadSingleAsync()).ShouldBe(new Note((300 * 16_500).ToString(System.Globalization.CultureInfo.InvariantCulture), 300));
    }

    [Fact]
    public async Task Both_stream_in_turns()
    {
        await using var call = channel.Streaming(EchoService.Name + "Bidi", GrpcCallOptions.None, Token);
        for (var i = 1; i < 20; i++)
        {
            await call.WriteAsync(new Note("ping", i).ToBytes());
            Note.Parse((await call.ReadAsync()).ShouldNotBeNull().ToArray()).Count.ShouldBe(i);
        }

        await call.CompleteAsync();
        (await call.ReadAsync()).ShouldBeNull();
    }

    [Fact]
    public async Task A_stream_without_messages_is_whole()
    {
        await using var call = channel.Streaming(EchoService.Name + "ClientStream", GrpcCallOptions.None, Token);
        await call.CompleteAsync();
        Note.Parse(await call.ReadSingleAsync()).Count.ShouldBe(0);
    }

    [Fact]
    public async Task Metadata_go_there_and_back()
    {
        byte[] first = [0, 255, 1], second = [9];
        await using var call = channel.ServerStreaming(
            EchoService.Name + "Unary",
            new byte[1],
            new GrpcCallOptions { Metadata = [new("x-note", "plain"), GrpcCallOptions.Binary("x-note-bin", first), GrpcCallOptions.Binary("x-note-bin", second)] },
            Token);
        (await call.GetHeadersAsync()).GetValues("x-note").ShouldBe(["plain"]);
        await call.ReadSingleAsync();
        GrpcClientCall.DecodeBinary(call.Trailers.ShouldNotBeNull(), "x-note-0-bin").ShouldHaveSingleItem().ShouldBe(first);
        GrpcClientCall.DecodeBinary(call.Trailers, "x-note-1-bin").ShouldHaveSingleItem().ShouldBe(second);
    }

    [Theory]
    [InlineData(GrpcStatus.NotFound, "Größe 100 % of\nnothing ✓")]
    [InlineData(GrpcStatus.Unauthenticated, "")]
    public async Task A_status_comes_with_its_message_and_details(GrpcStatus status, string message)
    {
        var failure = await Should.ThrowAsync<GrpcException>(() =>
            channel.UnaryAsync(EchoService.Name + "Fail", new Note(message, (int)status).ToBytes(), GrpcCallOptions.None, Token));
        failure.Status.ShouldBe(status);
        failure.Message.ShouldBe(message);
        failure.Details.Select(detail => detail.TypeUrl).ShouldBe(["type.googleapis.com/google.rpc.RetryInfo", "type.googleapis.com/google.rpc.ErrorInfo"]);
        failure.Details[0].Value.ToArray().ShouldBe(GrpcDetail.RetryAfter(TimeSpan.FromSeconds(1.5)).Value.ToArray());
    }

    [Fact]
    public async Task A_status_after_messages_is_in_the_trailers()
    {
        await using var call = channel.ServerStreaming(EchoService.Name + "FailLate", new Note("too late", 9).ToBytes(), GrpcCallOptions.None, Token);
        (await call.ReadAsync()).ShouldNotBeNull();
        var failure = await Should.ThrowAsync<GrpcException>(async () => await call.ReadAsync());
        (failure.Status, failure.Message).ShouldBe((GrpcStatus.FailedPrecondition, "too late"));
    }

    [Fact]
    public async Task A_bug_is_internal_and_only_the_log_says_why()
    {
        var failure = await Should.ThrowAsync<GrpcException>(() => channel.UnaryAsync(EchoService.Name + "Throw", default, GrpcCallOptions.None, Token));
        failure.Status.ShouldBe(GrpcStatus.Internal);
        failure.Message.ShouldNotContain("internal-detail");
        server.Log.Lines.ShouldContain(line => line.Contains("internal-detail-nobody-may-see", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_deadline_ends_a_call_at_both_ends()
    {
        var failure = await Should.ThrowAsync<GrpcException>(() =>
            channel.UnaryAsync(EchoService.Name + "Hang", new byte[1], new GrpcCallOptions { Timeout = TimeSpan.FromMilliseconds(200) }, Token));
        failure.Status.ShouldBe(GrpcStatus.DeadlineExceeded);
    }

    [Fact]
    public async Task A_cancelled_call_reaches_the_handler()
    {
        var began = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var own = await GrpcServer.StartAsync(app => app.MapGrpc("/t.T/Hang", GrpcMethodKind.Unary, async call =>
        {
            await call.ReadRequestAsync();
            began.SetResult();
            try
            {
                await new TaskCompletionSource().Task.WaitAsync(call.Aborted);
            }
            finally
            {
                ended.SetResult();
            }
        }));
        using var ownChannel = new GrpcChannel(own.Url);
        using var cancel = new CancellationTokenSource();
        var running = ownChannel.UnaryAsync("/t.T/Hang", new byte[1], GrpcCallOptions.None, cancel.Token);
        await began.Task.WaitAsync(Token);
        await cancel.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => running);
        await ended.Task.WaitAsync(Token);
    }

    [Fact]
    public async Task A_cut_ends_a_waiting_read_with_its_status()
    {
        var waiting = new TaskCompletionSource<GrpcCall>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var own = await GrpcServer.StartAsync(app => app.MapGrpc("/t.T/Upload", GrpcMethodKind.ClientStreaming, async call =>
        {
            await call.ReadMessageAsync();
            waiting.SetResult(call);
            await call.ReadMessageAsync();
        }));
        using var ownChannel = new GrpcChannel(own.Url);
        await using var upload = ownChannel.Streaming("/t.T/Upload", GrpcCallOptions.None, Token);
        await upload.WriteAsync(new byte[10]);
        var call = await waiting.Task.WaitAsync(Token);
        call.Cut(new GrpcException(GrpcStatus.Unauthenticated, "This key was revoked."));
        call.Cut(new GrpcException(GrpcStatus.Aborted, "The first counts."));
        var failure = await Should.ThrowAsync<GrpcException>(async () => await upload.ReadAsync());
        (failure.Status, failure.Message).ShouldBe((GrpcStatus.Unauthenticated, "This key was revoked."));
        (await upload.WriteAsync(new byte[10])).ShouldBeFalse();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_cut_ends_a_waiting_flush_with_its_status(bool hasDeadline)
    {
        // More than the client's window.
        const int Size = 4_000_000;
        var waiting = new TaskCompletionSource<GrpcCall>(TaskCreationOptions.RunContinuationsAsynchronously);
        var over = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var own = await GrpcServer.StartAsync(app => app.MapGrpc("/t.T/Download", GrpcMethodKind.ServerStreaming, async call =>
        {
            _ = call.Aborted;
            await call.ReadRequestAsync();
            call.WriteMessage(new byte[Size]);
            waiting.SetResult(call);
            try
            {
                await call.FlushAsync();
            }
            finally
            {
                over.SetResult();
            }
        }));
        using var ownChannel = new GrpcChannel(own.Url);
        await using var download = ownChannel.ServerStreaming("/t.T/Download", Array.Empty<byte>(), new GrpcCallOptions { Timeout = hasDeadline ? TimeSpan.FromHours(1) : null }, Token);
        var call = await waiting.Task.WaitAsync(Token);
        await download.GetHeadersAsync();
        call.Cut(new GrpcException(GrpcStatus.Unauthenticated, "This key was revoked."));
        await over.Task.WaitAsync(Token);
        // What was on its way comes first.
        (await download.ReadAsync()).ShouldNotBeNull().Length.ShouldBe(Size);
        var failure = await Should.ThrowAsync<GrpcException>(async () => await download.ReadAsync());
        (failure.Status, failure.Message).ShouldBe((GrpcStatus.Unauthenticated, "This key was revoked."), string.Join('\n', own.Log.Lines));
    }

    [Fact]
    public async Task A_message_over_the_limit_is_refused_with_the_cure()
    {
        var failure = await Should.ThrowAsync<GrpcException>(() => channel.UnaryAsync(EchoService.Name + "ServerStream", new byte[5 << 20], GrpcCallOptions.None, Token));
        failure.Status.ShouldBe(GrpcStatus.ResourceExhausted);
        failure.Message.ShouldContain("at most 4194304");
    }

    [Fact]
    public async Task A_client_refuses_an_answer_over_its_limit()
    {
        using var careful = new GrpcChannel(server.Url, new GrpcChannelOptions { MaxMessageBytes = 100 });
        (await Should.ThrowAsync<GrpcException>(() => careful.UnaryAsync(EchoService.Name + "Unary", new byte[101], GrpcCallOptions.None, Token)))
            .Status.ShouldBe(GrpcStatus.ResourceExhausted);
    }

    [Fact]
    public async Task Compressed_messages_are_read()
    {
        var message = new byte[100_000];
        (await channel.UnaryAsync(EchoService.Name + "Unary", message, new GrpcCallOptions { Gzip = true }, Token)).ShouldBe(message);
    }

    [Fact]
    public async Task A_compressed_bomb_is_refused()
    {
        var failure = await Should.ThrowAsync<GrpcException>(() =>
            channel.UnaryAsync(EchoService.Name + "ClientStream", new byte[64 << 20], new GrpcCallOptions { Gzip = true }, Token));
        failure.Status.ShouldBe(GrpcStatus.ResourceExhausted);
    }

    [Fact]
    public async Task A_second_request_to_a_method_of_one_is_refused()
    {
        await using var call = channel.Streaming(EchoService.Name + "Unary", GrpcCallOptions.None, Token);
        await call.WriteAsync(new byte[1]);
        await call.WriteAsync(new byte[1]);
        (await Should.ThrowAsync<GrpcException>(async () => await call.ReadAsync())).Status.ShouldBe(GrpcStatus.Unimplemented);
    }

    [Fact]
    public async Task A_method_of_one_message_needs_one()
    {
        await using var call = channel.Streaming(EchoService.Name + "Unary", GrpcCallOptions.None, Token);
        await call.CompleteAsync();
        (await Should.ThrowAsync<GrpcException>(async () => await call.ReadAsync())).Status.ShouldBe(GrpcStatus.InvalidArgument);
    }

    [Fact]
    public async Task An_unknown_method_is_unimplemented() =>
        (await Should.ThrowAsync<GrpcException>(() => channel.UnaryAsync("/no.Such/Method", default, GrpcCallOptions.None, Token))).Status.ShouldBe(GrpcStatus.Unimplemented);

    [Fact]
    public async Task A_server_that_is_gone_is_unavailable()
    {
        await server.StopAsync(Token);
        (await Should.ThrowAsync<GrpcException>(() => channel.UnaryAsync(EchoService.Name + "Unary", default, GrpcCallOptions.None, Token))).Status.ShouldBe(GrpcStatus.Unavailable);
    }

    [Fact]
    public async Task A_handler_that_forgets_its_answer_is_a_bug()
    {
        await using var own = await GrpcServer.StartAsync(app => app.MapGrpc("/t.T/Forget", GrpcMethodKind.Unary, async call => await call.ReadRequestAsync()));
        using var ownChannel = new GrpcChannel(own.Url);
        (await Should.ThrowAsync<GrpcException>(() => ownChannel.UnaryAsync("/t.T/Forget", default, GrpcCallOptions.None, Token))).Status.ShouldBe(GrpcStatus.Internal);
    }

    [Fact]
    public async Task Half_a_message_is_never_taken_for_a_whole_one()
    {
        await using var own = await GrpcServer.StartAsync(app => app.MapGrpc("/t.T/Half", GrpcMethodKind.ServerStreaming, async call =>
        {
            await call.ReadRequestAsync();
            call.StartMessage(1_000_000);
            call.GetSpan(100)[..100].Clear();
            call.Advance(100);
            await call.FlushAsync();
            throw new GrpcException(GrpcStatus.DataLoss, "The disk failed.");
        }));
        using var ownChannel = new GrpcChannel(own.Url);
        (await Should.ThrowAsync<GrpcException>(() => ownChannel.UnaryAsync("/t.T/Half", default, GrpcCallOptions.None, Token))).Status.ShouldBe(GrpcStatus.Internal);
    }

    [Fact]
    public async Task Ten_thousand_calls_share_a_connection()
    {
        var done = 0;
        await Parallel.ForEachAsync(Enumerable.Range(0, 10_000), new ParallelOptions { MaxDegreeOfParallelism = 100, CancellationToken = Token }, async (i, token) =>
        {
            var answer = await channel.UnaryAsync(EchoService.Name + "Unary", new Note("n", i).ToBytes(), GrpcCallOptions.None, token);
            Note.Parse(answer).Count.ShouldBe(i);
            Interlocked.Increment(ref done);
        });
        done.ShouldBe(10_000);
    }
}
