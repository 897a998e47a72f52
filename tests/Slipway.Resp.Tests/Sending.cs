using Microsoft.Extensions.Logging.Abstractions;

namespace Slipway.Resp.Tests;

public sealed class Sending : IDisposable
{
    private readonly FakeServer server = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => server.Dispose();

    [Fact]
    public async Task Answers_reach_their_callers_in_order_though_they_arrive_in_pieces()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        Task<RespValue> a = Send(connection, "GET", "a");
        Task<RespValue> b = Send(connection, "GET", "b");
        (await peer!.ReadAsync(Token)).ShouldBe("GET a");
        (await peer.ReadAsync(Token)).ShouldBe("GET b");

        await peer.SayAsync("$5\r\nfi", Token);
        await peer.SayAsync("rst\r\n$6\r\nsecond\r", Token);
        await peer.SayAsync("\n", Token);

        (await a).AsString().ShouldBe("first");
        (await b).AsString().ShouldBe("second");
    }

    [Fact]
    public async Task An_error_answer_is_an_exception_with_its_code()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        Task<RespValue> answer = Send(connection, "SET", "k", "secret");
        await peer!.ExpectAsync("SET k secret", "-OOM command not allowed when used memory > 'maxmemory'.\r\n", Token);

        var refusal = await Should.ThrowAsync<RespServerException>(() => answer);

        refusal.Code.ShouldBe("OOM");
        refusal.Message.ShouldNotContain("secret");
    }

    [Fact]
    public async Task A_command_in_doubt_after_a_cut_fails_and_is_not_sent_again()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        Task<RespValue> doubtful = Send(connection, "INCR", "k");
        (await peer!.ReadAsync(Token)).ShouldBe("INCR k");

        peer.Cut();

        var fault = await Should.ThrowAsync<RespConnectionException>(() => doubtful);
        fault.InDoubt.ShouldBeTrue();
        fault.Reason.ShouldBe(RespConnectionFailure.Lost);
        using FakePeer next = await server.AcceptReadyAsync(Token);
        Task<RespValue> later = Send(connection, "GET", "k");
        await next.ExpectAsync("GET k", ":1\r\n", Token);
        (await later).AsInteger().ShouldBe(1);
    }

    [Fact]
    public async Task Idempotent_commands_are_sent_again_in_their_order_before_newer_ones()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        Task<RespValue> one = connection.SendAsync(RespCommand.Of("SET", "a", 1) with { Idempotent = true }, Token).AsTask();
        Task<RespValue> two = connection.SendAsync(RespCommand.Of("SET", "b", 2) with { Idempotent = true }, Token).AsTask();
        await peer!.ReadAsync(Token);
        await peer.ReadAsync(Token);

        peer.Cut();
        using FakePeer handshake = await server.AcceptAsync(Token);
        Task<RespValue> newer = Send(connection, "GET", "c");
        await handshake.ExpectAsync("HELLO 3 SETNAME slipway", "%0\r\n", Token);
        await handshake.ExpectAsync("PING", "+PONG\r\n", Token);

        await handshake.ExpectAsync("SET a 1", "+first\r\n", Token);
        await handshake.ExpectAsync("SET b 2", "+second\r\n", Token);
        await handshake.ExpectAsync("GET c", "+third\r\n", Token);
        (await one).AsString().ShouldBe("first");
        (await two).AsString().ShouldBe("second");
        (await newer).AsString().ShouldBe("third");
    }

    [Fact]
    public async Task No_connection_within_the_timeout_fails_without_doubt()
    {
        await using RespConnection connection = await ConnectAsync(server.Options with { CommandTimeout = TimeSpan.FromMilliseconds(100) });
        Task<RespValue> noticesTheCut = Send(connection, "GET", "a");
        (await peer!.ReadAsync(Token)).ShouldBe("GET a");
        server.Dispose();
        peer.Cut();
        await Should.ThrowAsync<RespConnectionException>(() => noticesTheCut);

        var fault = await Should.ThrowAsync<RespConnectionException>(() => Send(connection, "INCR", "k"));

        fault.Reason.ShouldBe(RespConnectionFailure.TimedOut);
        fault.InDoubt.ShouldBeFalse();
    }

    [Fact]
    public async Task No_answer_within_the_timeout_ends_the_connection_in_doubt()
    {
        await using RespConnection connection = await ConnectAsync(server.Options with { CommandTimeout = TimeSpan.FromMilliseconds(100) });
        Task<RespValue> doubtful = Send(connection, "INCR", "k");

        var fault = await Should.ThrowAsync<RespConnectionException>(() => doubtful);

        fault.Reason.ShouldBe(RespConnectionFailure.TimedOut);
        fault.InDoubt.ShouldBeTrue();
        (await peer!.ReadAsync(Token)).ShouldBe("INCR k");
        await peer.ShouldBeClosedByClientAsync(Token);
    }

    [Fact]
    public async Task A_half_open_connection_is_found_by_a_probe()
    {
        await using RespConnection connection = await ConnectAsync(
            server.Options with { CommandTimeout = TimeSpan.FromMilliseconds(100), PingInterval = TimeSpan.FromMilliseconds(20) });

        (await peer!.ReadAsync(Token)).ShouldBe("PING");

        using FakePeer next = await server.AcceptReadyAsync(Token);
    }

    [Fact]
    public async Task What_waits_on_a_half_open_connection_goes_again_on_another_long_before_it_times_out()
    {
        await using RespConnection connection = await ConnectAsync(server.Options with { CommandTimeout = TimeSpan.FromSeconds(60), SilenceTimeout = TimeSpan.FromMilliseconds(50) });
        Task<RespValue> asked = connection.SendAsync(RespCommand.Of("GET", "k") with { Idempotent = true }, Token).AsTask();
        (await peer!.ReadAsync(Token)).ShouldBe("GET k");

        using FakePeer next = await server.AcceptReadyAsync(Token);
        await next.ExpectAsync("GET k", "+v\r\n", Token);

        (await asked).AsString().ShouldBe("v");
    }

    [Fact]
    public async Task A_cancelled_command_that_was_sent_leaves_its_answer_to_nobody()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        using var cancel = new CancellationTokenSource();
        Task<RespValue> cancelled = connection.SendAsync(RespCommand.Of("GET", "a"), cancel.Token).AsTask();
        (await peer!.ReadAsync(Token)).ShouldBe("GET a");
        await cancel.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => cancelled);

        Task<RespValue> next = Send(connection, "GET", "b");
        await peer.ExpectAsync("GET b", "+for a\r\n+for b\r\n", Token);

        (await next).AsString().ShouldBe("for b");
    }

    [Fact]
    public async Task A_cancelled_command_that_was_not_sent_is_never_sent()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        peer!.Cut();
        using FakePeer handshake = await server.AcceptAsync(Token);
        using var cancel = new CancellationTokenSource();
        Task<RespValue> cancelled = connection.SendAsync(RespCommand.Of("INCR", "a") with { KeepsReply = true }, cancel.Token).AsTask();
        await cancel.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => cancelled);
        Task<RespValue> next = Send(connection, "GET", "b");

        await handshake.ExpectAsync("HELLO 3 SETNAME slipway", "%0\r\n", Token);
        await handshake.ExpectAsync("PING", "+PONG\r\n", Token);
        await handshake.ExpectAsync("GET b", "+b\r\n", Token);

        (await next).AsString().ShouldBe("b");
    }

    [Fact]
    public async Task A_command_that_keeps_its_reply_outlives_cancellation_once_sent()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        using var cancel = new CancellationTokenSource();
        Task<RespValue> lease = connection.SendAsync(RespCommand.Of("RPOP", "q") with { KeepsReply = true }, cancel.Token).AsTask();
        (await peer!.ReadAsync(Token)).ShouldBe("RPOP q");

        await cancel.CancelAsync();
        await peer.SayAsync("+job\r\n", Token);

        (await lease).AsString().ShouldBe("job");
    }

    [Fact]
    public async Task Commands_in_flight_are_bounded()
    {
        await using RespConnection connection = await ConnectAsync(server.Options with { MaxInFlight = 2 });
        Task<RespValue>[] answers = [Send(connection, "GET", "a"), Send(connection, "GET", "b"), Send(connection, "GET", "c")];
        using var cancel = new CancellationTokenSource();
        Task<RespValue> waitsForRoom = connection.SendAsync(RespCommand.Of("GET", "d"), cancel.Token).AsTask();

        (await peer!.ReadAsync(Token)).ShouldBe("GET a");
        (await peer.ReadAsync(Token)).ShouldBe("GET b");
        // Were "d" already in line, it would be sent; it has no room, so cancelling it leaves no trace.
        await cancel.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => waitsForRoom);
        Task<string> third = peer.ReadAsync(Token);
        third.IsCompleted.ShouldBeFalse();
        await peer.SayAsync("+a\r\n", Token);

        (await third).ShouldBe("GET c");
        await peer.SayAsync("+b\r\n+c\r\n", Token);
        (await Task.WhenAll(answers)).Select(answer => answer.AsString()).ShouldBe(["a", "b", "c"]);
    }

    [Theory]
    [InlineData("what?\r\n")]
    [InlineData("$2000\r\n")]
    [InlineData("*-7\r\n")]
    public async Task A_malformed_or_huge_answer_ends_the_connection_and_the_next_one_works(string answer)
    {
        await using RespConnection connection = await ConnectAsync(server.Options with { MaxReplyBytes = 1000 });
        Task<RespValue> doubtful = Send(connection, "GET", "a");
        await peer!.ExpectAsync("GET a", answer, Token);

        var fault = await Should.ThrowAsync<RespConnectionException>(() => doubtful);

        fault.Reason.ShouldBe(RespConnectionFailure.ProtocolViolation);
        fault.InDoubt.ShouldBeTrue();
        await peer.ShouldBeClosedByClientAsync(Token);
        using FakePeer next = await server.AcceptReadyAsync(Token);
        Task<RespValue> later = Send(connection, "GET", "b");
        await next.ExpectAsync("GET b", "+b\r\n", Token);
        (await later).AsString().ShouldBe("b");
    }

    [Fact]
    public async Task An_answer_that_nobody_asked_for_ends_the_connection()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);

        await peer!.SayAsync("+surprise\r\n", Token);

        await peer.ShouldBeClosedByClientAsync(Token);
    }

    [Fact]
    public async Task A_command_over_the_limit_is_refused_before_it_is_queued()
    {
        await using RespConnection connection = await ConnectAsync(server.Options with { MaxCommandBytes = 100 });

        await Should.ThrowAsync<ArgumentException>(() => Send(connection, "SET", "k", new string('x', 100)));
    }

    [Fact]
    public async Task Dispose_fails_what_waits_and_what_comes_later()
    {
        RespConnection connection = await ConnectAsync(server.Options with { MaxInFlight = 1 });
        Task<RespValue> sent = Send(connection, "INCR", "a");
        Task<RespValue> waitsForRoom = Send(connection, "INCR", "b");
        (await peer!.ReadAsync(Token)).ShouldBe("INCR a");

        await connection.DisposeAsync();
        await connection.DisposeAsync();

        (await Should.ThrowAsync<RespConnectionException>(() => sent)).InDoubt.ShouldBeTrue();
        (await Should.ThrowAsync<RespConnectionException>(() => waitsForRoom)).InDoubt.ShouldBeFalse();
        var late = await Should.ThrowAsync<RespConnectionException>(() => Send(connection, "GET", "c"));
        late.Reason.ShouldBe(RespConnectionFailure.Closed);
        await peer.ShouldBeClosedByClientAsync(Token);
    }

    [Fact]
    public async Task Pushes_between_answers_reach_their_listener_and_unknown_ones_are_skipped()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        var heard = new TaskCompletionSource<string>();
        Task<RespSubscription> subscribing = connection.SubscribeAsync(
            "c", message => heard.TrySetResult(System.Text.Encoding.UTF8.GetString(message.Span)), () => { }, Token);
        await peer!.ExpectAsync("SUBSCRIBE c", ">3\r\n+subscribe\r\n+c\r\n:1\r\n", Token);
        await subscribing;
        Task<RespValue> answer = Send(connection, "GET", "a");

        await peer.ExpectAsync("GET a", ">2\r\n+invalidate\r\n_\r\n>3\r\n+message\r\n+c\r\n+hello\r\n+a\r\n", Token);

        (await answer).AsString().ShouldBe("a");
        (await heard.Task).ShouldBe("hello");
    }

    [Fact]
    public async Task Subscriptions_stand_again_after_a_cut_and_say_that_there_was_a_gap()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        var gap = new TaskCompletionSource();
        Task<RespSubscription> subscribing = connection.SubscribeAsync("c", _ => { }, gap.SetResult, Token);
        await peer!.ExpectAsync("SUBSCRIBE c", ">3\r\n+subscribe\r\n+c\r\n:1\r\n", Token);
        await subscribing;

        peer.Cut();
        using FakePeer next = await server.AcceptReadyAsync(Token);
        gap.Task.IsCompleted.ShouldBeFalse();
        await next.ExpectAsync("SUBSCRIBE c", ">3\r\n+subscribe\r\n+c\r\n:1\r\n", Token);

        await gap.Task.WaitAsync(FakeServer.Deadline, Token);
    }

    [Fact]
    public async Task A_refused_subscription_is_an_exception_and_later_answers_still_fit()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        Task<RespSubscription> subscribing = connection.SubscribeAsync("c", _ => { }, () => { }, Token);
        await peer!.ExpectAsync("SUBSCRIBE c", "-NOPERM no channels for you\r\n", Token);
        await Should.ThrowAsync<RespServerException>(() => subscribing);

        Task<RespValue> answer = Send(connection, "GET", "a");
        await peer.ExpectAsync("GET a", "+a\r\n", Token);

        (await answer).AsString().ShouldBe("a");
    }

    [Fact]
    public async Task A_script_is_loaded_when_unknown_and_only_then()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        var script = new RespScript("one", "return 1");
        Task<RespValue> first = connection.EvaluateAsync(script, new RespArgument[] { "k" }, new RespArgument[] { 7 }, false, false, Token).AsTask();
        await peer!.ExpectAsync($"EVALSHA {script.Hash} 1 k 7", "-NOSCRIPT No matching script\r\n", Token);
        await peer.ExpectAsync("SCRIPT LOAD return 1", $"+{script.Hash}\r\n", Token);
        await peer.ExpectAsync($"EVALSHA {script.Hash} 1 k 7", ":1\r\n", Token);
        (await first).AsInteger().ShouldBe(1);

        Task<RespValue> second = connection.EvaluateAsync(script, new RespArgument[] { "k" }, default, false, false, Token).AsTask();
        await peer.ExpectAsync($"EVALSHA {script.Hash} 1 k", ":1\r\n", Token);

        (await second).AsInteger().ShouldBe(1);
    }

    private FakePeer? peer;

    private async Task<RespConnection> ConnectAsync(RespOptions options)
    {
        Task<RespConnection> connecting = RespConnection.ConnectAsync(options, NullLogger.Instance, Token);
        peer = await server.AcceptReadyAsync(Token);
        return await connecting;
    }

    private static Task<RespValue> Send(RespConnection connection, params ReadOnlySpan<RespArgument> arguments) =>
        connection.SendAsync(RespCommand.Of(arguments), Token).AsTask();
}
