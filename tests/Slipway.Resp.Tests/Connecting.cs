using Microsoft.Extensions.Logging.Abstractions;

namespace Slipway.Resp.Tests;

public sealed class Connecting : IDisposable
{
    private readonly FakeServer server = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => server.Dispose();

    [Fact]
    public async Task Handshake_carries_credentials_and_database()
    {
        RespOptions options = server.Options with { Url = server.Url.Replace("redis://", "redis://ann:s3cret@", StringComparison.Ordinal) + "/5" };
        Task<RespConnection> connecting = RespConnection.ConnectAsync(options, NullLogger.Instance, Token);
        using FakePeer peer = await server.AcceptAsync(Token);
        await peer.ExpectAsync("HELLO 3 AUTH ann s3cret SETNAME slipway", "%0\r\n", Token);
        await peer.ExpectAsync("SELECT 5", "+OK\r\n", Token);
        await peer.ExpectAsync("PING", "+PONG\r\n", Token);

        await using RespConnection connection = await connecting;

        connection.IsConnected.ShouldBeTrue();
    }

    [Theory]
    [InlineData("-WRONGPASS invalid username-password pair\r\n", RespConnectionFailure.AuthenticationFailed)]
    [InlineData("-NOAUTH HELLO must be called with the client already authenticated\r\n", RespConnectionFailure.AuthenticationFailed)]
    [InlineData("-LOADING Redis is loading the dataset in memory\r\n", RespConnectionFailure.ConnectFailed)]
    [InlineData("HTTP/1.1 400 Bad Request\r\n", RespConnectionFailure.ProtocolViolation)]
    public async Task First_connect_tells_why_it_failed(string answer, RespConnectionFailure reason)
    {
        Task<RespConnection> connecting = RespConnection.ConnectAsync(server.Options, NullLogger.Instance, Token);
        using FakePeer peer = await server.AcceptAsync(Token);
        await peer.ExpectAsync("HELLO 3 SETNAME slipway", answer, Token);

        var fault = await Should.ThrowAsync<RespConnectionException>(() => connecting);

        fault.Reason.ShouldBe(reason);
        fault.InDoubt.ShouldBeFalse();
    }

    [Fact]
    public async Task First_connect_gives_up_on_a_silent_server()
    {
        RespOptions options = server.Options with { ConnectTimeout = TimeSpan.FromMilliseconds(50) };

        var fault = await Should.ThrowAsync<RespConnectionException>(() => RespConnection.ConnectAsync(options, NullLogger.Instance, Token));

        fault.Reason.ShouldBe(RespConnectionFailure.ConnectFailed);
    }

    [Fact]
    public async Task Refused_connect_names_the_address()
    {
        var options = new RespOptions { Url = "unix:///nowhere/redis.sock" };

        var fault = await Should.ThrowAsync<RespConnectionException>(() => RespConnection.ConnectAsync(options, NullLogger.Instance, Token));

        fault.Message.ShouldContain("/nowhere/redis.sock");
    }

    [Fact]
    public async Task A_server_that_loads_its_data_is_tried_again_after_a_cut()
    {
        Task<RespConnection> connecting = RespConnection.ConnectAsync(server.Options, NullLogger.Instance, Token);
        using FakePeer first = await server.AcceptReadyAsync(Token);
        await using RespConnection connection = await connecting;
        first.Cut();
        using FakePeer loading = await server.AcceptAsync(Token);
        await loading.ExpectAsync("HELLO 3 SETNAME slipway", "%0\r\n", Token);
        await loading.ExpectAsync("PING", "-LOADING Redis is loading the dataset in memory\r\n", Token);
        using FakePeer ready = await server.AcceptReadyAsync(Token);

        ValueTask<RespValue> answer = connection.SendAsync(RespCommand.Of("GET", "k"), Token);
        await ready.ExpectAsync("GET k", "+v\r\n", Token);

        (await answer).AsString().ShouldBe("v");
    }
}
