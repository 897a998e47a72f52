using Shouldly;
using Slipway.Grpc;
using Slipway.Server.Configuration;
using Slipway.Server.Http;
using Slipway.Tenancy;
using Xunit;

namespace Slipway.Server.Tests.Grpc;

/// <summary>The gRPC port of the whole server.</summary>
public sealed class GrpcListenerTests(RunningServer running) : IClassFixture<RunningServer>
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Health_says_serving()
    {
        using var channel = new GrpcChannel(running.Server.GrpcUrl);
        (await channel.UnaryAsync("/grpc.health.v1.Health/Check", default, GrpcCallOptions.None, Token)).ShouldBe(new byte[] { 8, 1 });
    }

    [Fact]
    public async Task An_unknown_method_is_unimplemented()
    {
        using var channel = new GrpcChannel(running.Server.GrpcUrl);
        var refusal = await Should.ThrowAsync<GrpcException>(() => channel.UnaryAsync("/acme.Nothing/Here", default, GrpcCallOptions.None, Token));
        refusal.Status.ShouldBe(GrpcStatus.Unimplemented);
        refusal.Message.ShouldContain("/acme.Nothing/Here");
    }

    [Fact]
    public async Task The_HTTP_port_takes_no_HTTP_2_without_TLS()
    {
        using var channel = new GrpcChannel(running.Server.Url);
        // Kestrel says HTTP_1_1_REQUIRED.
        (await Should.ThrowAsync<GrpcException>(() => channel.UnaryAsync("/grpc.health.v1.Health/Check", default, GrpcCallOptions.None, Token)))
            .Status.ShouldBe(GrpcStatus.Internal);
    }

    [Fact]
    public void The_gRPC_port_is_next_to_that_of_HTTP_and_on_this_machine_only()
    {
        running.Server.GrpcUrl.ShouldNotBe(running.Server.Url);
        var configuration = ConfigurationLoader.Load(
            null, new Dictionary<string, string>(), [new("http.listen", "0.0.0.0:8000", new(OriginKind.Flag, "test"))]).Configuration;
        configuration.Grpc.Listen.ShouldNotBeNull().ToString().ShouldBe("127.0.0.1:8001");
    }

    [Theory]
    [InlineData(401, GrpcStatus.Unauthenticated)]
    [InlineData(404, GrpcStatus.NotFound)]
    [InlineData(429, GrpcStatus.ResourceExhausted)]
    [InlineData(503, GrpcStatus.Unavailable)]
    public void A_problem_of_HTTP_has_a_status_of_gRPC(int http, GrpcStatus expected)
    {
        var status = GrpcStatuses.Of(new ApiException(http, "code", "What is wrong.", "What to do.") { RetryAfter = TimeSpan.FromSeconds(3) });
        status.ShouldNotBeNull().Status.ShouldBe(expected);
        status.Message.ShouldBe("What is wrong. What to do.");
        status.Details.ShouldHaveSingleItem().TypeUrl.ShouldEndWith("RetryInfo");
    }

    [Fact]
    public void A_bug_of_the_server_has_none() => GrpcStatuses.Of(new InvalidOperationException("secret")).ShouldBeNull();
}
