using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Testing;

namespace Slipway.Resp.Tests;

/// <summary>The same client against redis-server.</summary>
public sealed class RealRedis
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Commands_scripts_and_pushes_work_over_a_unix_socket()
    {
        await using RedisFixture server = await RedisFixture.StartAsync(Token);
        await using RespConnection connection = await ConnectAsync(server.Url);
        byte[] large = new byte[200_000];
        Random.Shared.NextBytes(large);
        await connection.SendAsync(RespCommand.Of("SET", "k", large), Token);
        (await connection.SendAsync(RespCommand.Of("GET", "k"), Token)).AsBytes().ToArray().ShouldBe(large);

        var script = new RespScript("sum", "return ARGV[1] + ARGV[2]");
        (await connection.EvaluateAsync(script, default, new RespArgument[] { 2, 3 }, true, false, Token)).AsInteger().ShouldBe(5);
        await connection.SendAsync(RespCommand.Of("SCRIPT", "FLUSH"), Token);
        (await connection.EvaluateAsync(script, default, new RespArgument[] { 4, 5 }, true, false, Token)).AsInteger().ShouldBe(9);

        var heard = new TaskCompletionSource<string>();
        await using (await connection.SubscribeAsync("c", message => heard.TrySetResult(Encoding.UTF8.GetString(message.Span)), () => { }, Token))
        {
            (await connection.SendAsync(RespCommand.Of("PUBLISH", "c", "hello"), Token)).AsInteger().ShouldBe(1);
            (await heard.Task.WaitAsync(Token)).ShouldBe("hello");
        }

        (await connection.SendAsync(RespCommand.Of("PUBLISH", "c", "nobody"), Token)).AsInteger().ShouldBe(0);
    }

    [Fact]
    public async Task Thousands_of_commands_in_flight_keep_their_answers()
    {
        await using RedisFixture server = await RedisFixture.StartAsync(Token);
        await using RespConnection connection = await ConnectAsync(server.Url);

        long[] answers = await Task.WhenAll(Enumerable.Range(0, 5000).Select(
            async i => (await connection.SendAsync(RespCommand.Of("ECHO", i), Token)).AsInteger()));

        answers.ShouldBe(Enumerable.Range(0, 5000).Select(i => (long)i));
    }

    [Fact]
    public async Task A_password_is_asked_for_and_accepted_over_tcp()
    {
        await using RedisFixture server = await RedisFixture.StartAsync(Token, tcp: true, password: "s3cret");

        (await Should.ThrowAsync<RespConnectionException>(() => ConnectAsync($"redis://127.0.0.1:{server.Port}")))
            .Reason.ShouldBe(RespConnectionFailure.AuthenticationFailed);
        var wrong = await Should.ThrowAsync<RespConnectionException>(() => ConnectAsync($"redis://:wr0ng@127.0.0.1:{server.Port}"));
        wrong.Reason.ShouldBe(RespConnectionFailure.AuthenticationFailed);
        wrong.Message.ShouldNotContain("wr0ng");

        await using RespConnection connection = await ConnectAsync($"redis://:s3cret@127.0.0.1:{server.Port}/2");
        (await connection.SendAsync(RespCommand.Of("CLIENT", "INFO"), Token)).AsString().ShouldContain("db=2");
    }

    [Fact]
    public async Task A_killed_and_restarted_server_is_found_again()
    {
        await using RedisFixture server = await RedisFixture.StartAsync(Token, durable: true);
        await using RespConnection connection = await ConnectAsync(server.Url);
        await connection.SendAsync(RespCommand.Of("SET", "k", "v"), Token);

        await server.KillAsync(Token);
        await server.RestartAsync(Token);

        (await connection.SendAsync(RespCommand.Of("GET", "k") with { Idempotent = true }, Token)).AsString().ShouldBe("v");
    }

    private static Task<RespConnection> ConnectAsync(string url) =>
        RespConnection.ConnectAsync(new RespOptions { Url = url }, NullLogger.Instance, Token);
}
