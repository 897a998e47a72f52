using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Testing;

namespace Slipway.Resp.Tests;

/// <summary>Servers that say: not executed, ask again.</summary>
public sealed class Refusing : IDisposable
{
    private readonly FakeServer server = new();
    private FakePeer? peer;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => server.Dispose();

    [Theory]
    [InlineData("LOADING Redis is loading the dataset in memory")]
    [InlineData("BUSY Redis is busy running a script")]
    [InlineData("CLUSTERDOWN The cluster is down")]
    [InlineData("TRYAGAIN Multiple keys request during rehashing of slot")]
    public async Task What_was_refused_goes_again_before_anything_newer(string refusal)
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        Task<RespValue> a = Send(connection, "INCR", "a");
        Task<RespValue> b = Send(connection, "INCR", "b");
        (await peer!.ReadAsync(Token)).ShouldBe("INCR a");
        (await peer.ReadAsync(Token)).ShouldBe("INCR b");
        await peer.SayAsync($"-{refusal}\r\n", Token);
        await Eventually.TrueAsync(() => RefusedBy(connection) == 1, Token);
        Task<RespValue> newer = Send(connection, "INCR", "c");
        await peer.SayAsync($"-{refusal}\r\n", Token);

        await peer.ExpectAsync("INCR a", ":1\r\n", Token);
        await peer.ExpectAsync("INCR b", ":2\r\n", Token);
        await peer.ExpectAsync("INCR c", ":3\r\n", Token);

        (await Task.WhenAll(a, b, newer)).Select(answer => answer.AsInteger()).ShouldBe([1, 2, 3]);
    }

    [Fact]
    public async Task A_server_that_goes_on_refusing_is_told_of_with_its_code_at_the_timeout()
    {
        await using RespConnection connection = await ConnectAsync(server.Options with { CommandTimeout = TimeSpan.FromMilliseconds(200) });
        Task<RespValue> answer = Send(connection, "INCR", "a");
        Task refusing = RefuseForEverAsync();

        var refusal = await Should.ThrowAsync<RespServerException>(() => answer);

        refusal.Code.ShouldBe("BUSY");
        refusal.IsTransient.ShouldBeTrue();
        await connection.DisposeAsync();
        await Should.ThrowAsync<IOException>(() => refusing);

        async Task RefuseForEverAsync()
        {
            while (true)
            {
                await peer!.ExpectAsync("INCR a", "-BUSY Redis is busy running a script\r\n", Token);
            }
        }
    }

    [Theory]
    [InlineData("OOM command not allowed", true)]
    [InlineData("MISCONF Errors writing to the AOF file", true)]
    [InlineData("NOREPLICAS Not enough good replicas to write.", true)]
    [InlineData("WRONGTYPE Operation against a key", false)]
    [InlineData("MOVED 3999 127.0.0.1:6381", false)]
    public async Task Other_errors_come_at_once(string error, bool transient)
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        Task<RespValue> answer = Send(connection, "INCR", "a");
        await peer!.ExpectAsync("INCR a", $"-{error}\r\n", Token);

        var refusal = await Should.ThrowAsync<RespServerException>(() => answer);

        refusal.Code.ShouldBe(error.Split(' ')[0]);
        refusal.IsTransient.ShouldBe(transient);
    }

    [Theory]
    [InlineData("READONLY You can't write against a read only replica.")]
    [InlineData("MASTERDOWN Link with MASTER is down")]
    public async Task A_demoted_master_is_left_once_it_has_answered_everything(string refusal)
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        Task<RespValue> refused = Send(connection, "INCR", "a");
        Task<RespValue> read = Send(connection, "GET", "b");
        (await peer!.ReadAsync(Token)).ShouldBe("INCR a");
        await peer.ExpectAsync("GET b", $"-{refusal}\r\n", Token);
        await Eventually.TrueAsync(() => RefusedBy(connection) == 1, Token);
        read.IsCompleted.ShouldBeFalse();
        await peer.SayAsync("+b\r\n", Token);

        (await read).AsString().ShouldBe("b");
        await peer.ShouldBeClosedByClientAsync(Token);
        using FakePeer next = await server.AcceptReadyAsync(Token);
        await next.ExpectAsync("INCR a", ":1\r\n", Token);
        (await refused).AsInteger().ShouldBe(1);
    }

    [Fact]
    public async Task A_refused_command_can_be_cancelled_even_when_it_keeps_its_reply()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        using var cancel = new CancellationTokenSource();
        Task<RespValue> lease = connection.SendAsync(RespCommand.Of("RPOP", "q") with { KeepsReply = true }, cancel.Token).AsTask();
        (await peer!.ReadAsync(Token)).ShouldBe("RPOP q");
        await cancel.CancelAsync();
        lease.IsCompleted.ShouldBeFalse();

        await peer.SayAsync("-LOADING Redis is loading\r\n", Token);

        await Should.ThrowAsync<OperationCanceledException>(() => lease);
        Task<RespValue> next = Send(connection, "GET", "a");
        await peer.ExpectAsync("GET a", "+a\r\n", Token);
        (await next).AsString().ShouldBe("a");
    }

    [Fact]
    public async Task A_flushed_script_is_loaded_once_for_a_whole_pipeline_and_the_calls_keep_their_order()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        var script = new RespScript("one", "return 1");
        Task<RespValue>[] calls = [.. Enumerable.Range(0, 3).Select(i => Evaluate(connection, script, i))];
        for (int i = 0; i < 3; i++)
        {
            (await peer!.ReadAsync(Token)).ShouldBe($"EVALSHA {script.Hash} 0 {i}");
        }

        await peer!.SayAsync("-NOSCRIPT No matching script\r\n", Token);
        await Eventually.TrueAsync(() => RefusedBy(connection) == 1, Token);
        Task<RespValue> newer = Evaluate(connection, script, 3);
        await peer.SayAsync("-NOSCRIPT No matching script\r\n-NOSCRIPT No matching script\r\n", Token);

        await peer.ExpectAsync("SCRIPT LOAD return 1", $"+{script.Hash}\r\n", Token);
        for (int i = 0; i < 4; i++)
        {
            await peer.ExpectAsync($"EVALSHA {script.Hash} 0 {i}", $":{i}\r\n", Token);
        }

        (await Task.WhenAll([.. calls, newer])).Select(answer => answer.AsInteger()).ShouldBe([0, 1, 2, 3]);
    }

    [Fact]
    public async Task A_script_that_may_not_be_loaded_fails_with_the_reason()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        var script = new RespScript("one", "return 1");
        Task<RespValue> call = Evaluate(connection, script, 0);
        await peer!.ExpectAsync($"EVALSHA {script.Hash} 0 0", "-NOSCRIPT No matching script\r\n", Token);
        await peer.ExpectAsync("SCRIPT LOAD return 1", "-NOPERM no permissions to run the 'script|load' command\r\n", Token);
        await peer.ExpectAsync($"EVALSHA {script.Hash} 0 0", "-NOSCRIPT No matching script\r\n", Token);

        (await Should.ThrowAsync<RespServerException>(() => call)).Code.ShouldBe("NOPERM");
    }

    [Fact]
    public async Task Refused_and_unanswered_commands_go_again_in_one_order_after_a_cut()
    {
        await using RespConnection connection = await ConnectAsync(server.Options);
        Task<RespValue>[] answers = [.. "abcd".Select(key => connection.SendAsync(
            RespCommand.Of("SET", key.ToString(), 1) with { Idempotent = true }, Token).AsTask())];
        for (int i = 0; i < 4; i++)
        {
            await peer!.ReadAsync(Token);
        }

        // a refused, b done, c refused, d unknown.
        await peer!.SayAsync("-LOADING x\r\n+b\r\n-LOADING x\r\n", Token);
        await Eventually.TrueAsync(() => RefusedBy(connection) == 2, Token);
        peer.Cut();
        using FakePeer next = await server.AcceptReadyAsync(Token);

        await next.ExpectAsync("SET a 1", "+a\r\n", Token);
        await next.ExpectAsync("SET c 1", "+c\r\n", Token);
        await next.ExpectAsync("SET d 1", "+d\r\n", Token);
        (await Task.WhenAll(answers)).Select(answer => answer.AsString()).ShouldBe(["a", "b", "c", "d"]);
    }

    [Fact]
    public async Task Bytes_in_flight_are_bounded_but_a_large_command_needs_no_empty_line()
    {
        await using RespConnection connection = await ConnectAsync(server.Options with { MaxInFlightBytes = 1000 });
        Task<RespValue> small = Send(connection, "GET", "small");
        Task<RespValue> large = Send(connection, "SET", "large", new string('x', 2000));
        Task<RespValue> waits = Send(connection, "GET", "waits");
        (await peer!.ReadAsync(Token)).ShouldBe("GET small");
        (await peer.ReadAsync(Token)).ShouldStartWith("SET large");
        Task<string> third = peer.ReadAsync(Token);

        await peer.SayAsync("+small\r\n", Token);
        await small;
        third.IsCompleted.ShouldBeFalse();
        await peer.SayAsync("+large\r\n", Token);
        await large;

        (await third).ShouldBe("GET waits");
        await peer.SayAsync("+waits\r\n", Token);
        (await waits).AsString().ShouldBe("waits");
    }

    [Fact]
    public async Task Waiting_for_room_ends_at_the_timeout_without_doubt()
    {
        await using RespConnection connection = await ConnectAsync(
            server.Options with { MaxInFlight = 1, CommandTimeout = TimeSpan.FromMilliseconds(300) });
        Task<RespValue> inside = Send(connection, "INCR", "a");
        Task<RespValue> outside = Send(connection, "INCR", "b");
        (await peer!.ReadAsync(Token)).ShouldBe("INCR a");

        (await Should.ThrowAsync<RespConnectionException>(() => inside)).InDoubt.ShouldBeTrue();
        var fault = await Should.ThrowAsync<RespConnectionException>(() => outside);

        fault.Reason.ShouldBe(RespConnectionFailure.TimedOut);
        fault.InDoubt.ShouldBeFalse();
    }

    [Fact]
    public async Task Asking_goes_right_before_the_command_it_speaks_for()
    {
        using var importing = new FakeServer();
        int port = new Uri(importing.Url).Port;
        Task<IRespClient> connecting = RespClient.ConnectAsync(
            server.Options with { Url = server.Url.Replace("redis:", "redis+cluster:", StringComparison.Ordinal) }, NullLogger.Instance, Token);
        using (FakePeer map = await server.AcceptReadyAsync(Token))
        {
            // An empty host means: the one that was asked.
            await map.ExpectAsync("CLUSTER SLOTS", $"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$0\r\n\r\n:{new Uri(server.Url).Port}\r\n+id\r\n", Token);
        }

        await using IRespClient client = await connecting;
        Task<RespValue> a = client.SendAsync(RespCommand.Of("GET", "{t}a"), Token).AsTask();
        Task<RespValue> b = client.SendAsync(RespCommand.Of("GET", "{t}b"), Token).AsTask();
        using FakePeer migrating = await server.AcceptReadyAsync(Token);
        await migrating.ExpectAsync("GET {t}a", $"-ASK 15891 127.0.0.1:{port}\r\n", Token);
        await migrating.ExpectAsync("GET {t}b", $"-ASK 15891 127.0.0.1:{port}\r\n", Token);

        using FakePeer target = await importing.AcceptReadyAsync(Token);
        await target.ExpectAsync("ASKING", "+OK\r\n", Token);
        await target.ExpectAsync("GET {t}a", "+a\r\n", Token);
        await target.ExpectAsync("ASKING", "+OK\r\n", Token);
        await target.ExpectAsync("GET {t}b", "+b\r\n", Token);

        (await a).AsString().ShouldBe("a");
        (await b).AsString().ShouldBe("b");
        // ASK is for this once: the next one goes to the owner again.
        Task<RespValue> next = client.SendAsync(RespCommand.Of("GET", "{t}a"), Token).AsTask();
        await migrating.ExpectAsync("GET {t}a", "+c\r\n", Token);
        (await next).AsString().ShouldBe("c");
    }

    private static int RefusedBy(RespConnection connection)
    {
        int count = 0;
        connection.Queue.ForEachRefused(_ => count++);
        return count;
    }

    private async Task<RespConnection> ConnectAsync(RespOptions options)
    {
        Task<RespConnection> connecting = RespConnection.ConnectAsync(options, NullLogger.Instance, Token);
        peer = await server.AcceptReadyAsync(Token);
        return await connecting;
    }

    private static Task<RespValue> Evaluate(RespConnection connection, RespScript script, int argument) =>
        connection.EvaluateAsync(script, default, new RespArgument[] { argument }, false, false, Token).AsTask();

    private static Task<RespValue> Send(RespConnection connection, params ReadOnlySpan<RespArgument> arguments) =>
        connection.SendAsync(RespCommand.Of(arguments), Token).AsTask();
}
