using System.Text;
using Shouldly;
using Xunit;

namespace Slipway.Server.Tests.Http;

/// <summary>
/// A refusal must come before <c>100 Continue</c>: curl, and nix through it, would otherwise send gigabytes to hear a no, and some wait
/// 300 s when the connection's state is unclear.
/// </summary>
public sealed class ExpectContinueTests(RunningServer server) : IClassFixture<RunningServer>
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("/test/refuse/401")]
    [InlineData("/test/refuse/403")]
    [InlineData("/test/refuse/413")]
    [InlineData("/test/refuse/507")]
    [InlineData("/nix/acme/main/refuse/401")]
    [InlineData("/nix/acme/main/refuse/507")]
    [InlineData("/nowhere")]
    public async Task A_refusal_comes_before_100_continue_and_closes_the_connection(string path)
    {
        var (answer, closed, socket) = await server.SendRawAsync($"PUT {path} HTTP/1.1\nHost: x\nContent-Length: 100000000\nExpect: 100-continue\n\n");
        using (socket)
        {
            answer.ShouldStartWith(path == "/nowhere" ? "HTTP/1.1 404" : $"HTTP/1.1 {path[^3..]}");
            answer.ShouldNotContain("100 Continue");
            answer.ShouldContain("Connection: close");
            closed.ShouldBeTrue();
        }
    }

    [Fact]
    public async Task A_handler_that_reads_gets_its_100_continue_and_the_connection_lives_on()
    {
        var (first, _, socket) = await server.SendRawAsync("PUT /test/read HTTP/1.1\nHost: x\nContent-Length: 4\nExpect: 100-continue\n\n", "\r\n\r\n");
        using (socket)
        {
            first.ShouldBe("HTTP/1.1 100 Continue\r\n\r\n");
            await socket.SendAsync(Encoding.ASCII.GetBytes("body"), CancellationToken);
            (await RunningServer.ReadAsync(socket, "read")).Answer.ShouldStartWith("HTTP/1.1 200");
            await socket.SendAsync(Encoding.ASCII.GetBytes("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), CancellationToken);
            (await RunningServer.ReadAsync(socket, "ok\n")).Answer.ShouldStartWith("HTTP/1.1 200");
        }
    }

    [Fact]
    public async Task A_refused_client_that_sends_its_body_anyway_can_go_on_with_the_connection()
    {
        var body = new string('x', 50_000);
        var (answer, closed, socket) = await server.SendRawAsync(
            $"PUT /test/refuse/403 HTTP/1.1\nHost: x\nContent-Length: {body.Length}\n\n{body}GET /healthz HTTP/1.1\nHost: x\n\n", "ok\n");
        using (socket)
        {
            closed.ShouldBeFalse();
            answer.ShouldStartWith("HTTP/1.1 403");
            answer.ShouldContain("HTTP/1.1 200");
        }
    }

    [Theory]
    [InlineData("GET /healthz HTTP/1.1\nHost: x\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n", "400")]
    [InlineData("GET /healthz HTTP/1.1\n\n", "400")]
    // Answered in HTTP/2, with a GOAWAY that says HTTP_1_1_REQUIRED.
    [InlineData("PRI * HTTP/2.0\n\nSM\n\n", "")]
    public async Task What_could_be_read_in_two_ways_is_refused(string request, string expected)
    {
        var (answer, closed, socket) = await server.SendRawAsync(request);
        using (socket)
        {
            closed.ShouldBeTrue();
            answer.ShouldContain(expected);
            answer.ShouldNotContain("200 OK");
        }
    }

    [Fact]
    public async Task Headers_over_the_limit_are_refused_with_431()
    {
        var (answer, closed, socket) = await server.SendRawAsync($"GET /healthz HTTP/1.1\nHost: x\nX-Big: {new string('x', 33 * 1024)}\n\n");
        using (socket)
        {
            closed.ShouldBeTrue();
            answer.ShouldStartWith("HTTP/1.1 431");
            answer.ShouldNotContain("Server:");
        }
    }
}
