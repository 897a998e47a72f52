using System.Collections.Concurrent;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Server.Tests.Telemetry;

public sealed class OtlpTests
{
    [Fact]
    [Trait("speed", "slow")]
    public async Task Traces_and_logs_go_to_the_configured_collector()
    {
        await using var collector = await Collector.StartAsync();
        await using var server = new RunningServer();
        await server.StartAsync(TestEndpoints.Map, ("otlp.endpoint", collector.Url), ("otlp.headers", "authorization=Bearer of-the-collector"));

        using var answer = await server.Client.GetAsync("/test/throw", TestContext.Current.CancellationToken);

        // The exporter sends in batches, every few seconds.
        await Eventually.TrueAsync(() => collector.Got("/v1/traces", "/test/throw"), TestContext.Current.CancellationToken);
        await Eventually.TrueAsync(() => collector.Got("/v1/logs", "InvalidOperationException"), TestContext.Current.CancellationToken);
        collector.Authorizations.ShouldAllBe(header => header == "Bearer of-the-collector");
    }

    /// <summary>Takes what an OpenTelemetry collector takes over HTTP; the text in the protobuf is readable enough to look for.</summary>
    private sealed class Collector(WebApplication app) : IAsyncDisposable
    {
        private readonly ConcurrentQueue<(string Path, string Body)> received = new();

        public string Url => app.Urls.First();

        public ConcurrentQueue<string> Authorizations { get; } = new();

        public static async Task<Collector> StartAsync()
        {
            var builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.UseUrls("http://127.0.0.1:0");
            var collector = new Collector(builder.Build());
            await collector.ListenAsync();
            return collector;
        }

        public bool Got(string path, string text) => received.Any(one => one.Path == path && one.Body.Contains(text, StringComparison.Ordinal));

        public ValueTask DisposeAsync() => app.DisposeAsync();

        private Task ListenAsync()
        {
            app.MapPost("/v1/{kind}", async (HttpContext http) =>
            {
                using var body = new MemoryStream();
                await http.Request.Body.CopyToAsync(body, http.RequestAborted);
                Authorizations.Enqueue(http.Request.Headers.Authorization.ToString());
                received.Enqueue((http.Request.Path, Encoding.Latin1.GetString(body.ToArray())));
            });
            return app.StartAsync(TestContext.Current.CancellationToken);
        }
    }
}
