using System.Net;

namespace Slipway.Grpc.Tests;

public sealed class SmokeTests
{
    [Fact]
    public async Task A_unary_call_is_answered()
    {
        await using var server = await GrpcServer.StartAsync(app => app.MapGrpc("/test.Echo/Unary", GrpcMethodKind.Unary, async call =>
        {
            var message = await call.ReadRequestAsync();
            call.WriteMessage(message.FirstSpan);
        }));
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(server.Url, "/test.Echo/Unary")) { Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        request.Content = new ByteArrayContent([0, 0, 0, 0, 2, 8, 1]);
        request.Content.Headers.ContentType = new("application/grpc");
        using var response = await http.SendAsync(request, TestContext.Current.CancellationToken);
        var body = await response.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken);
        foreach (var line in server.Log.Lines) { TestContext.Current.TestOutputHelper!.WriteLine(line); }
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        body.ShouldBe(new byte[] { 0, 0, 0, 0, 2, 8, 1 });
        response.TrailingHeaders.GetValues("grpc-status").ShouldBe(["0"]);
    }
}
