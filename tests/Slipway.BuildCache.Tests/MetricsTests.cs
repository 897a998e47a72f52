using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using Shouldly;
using Slipway.BuildCache.Tests.Reapi;
using Slipway.Grpc;
using Slipway.Testing;
using Xunit;

namespace Slipway.BuildCache.Tests;

/// <summary>What <c>/metrics</c> tells of the build caches. The numbers are of the process, and other servers may be in it: so what matters is what they grow by.</summary>
[Collection(nameof(ReapiCollection))]
public sealed class MetricsTests(BuildCacheServer server)
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Calls_of_grpc_are_counted_and_timed_by_method_and_status()
    {
        const string Found = """slipway_grpc_call_duration_seconds_count{method="/build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs",status="OK"}""";
        const string Missed = """slipway_grpc_call_duration_seconds_count{method="/build.bazel.remote.execution.v2.ActionCache/GetActionResult",status="NOT_FOUND"}""";
        using var client = await ReapiClient.NewAsync(server);
        var before = await ScrapeAsync();
        await client.MissingAsync(ReapiClient.Sha256Of("nothing"u8));
        await client.MissingAsync(ReapiClient.Sha256Of("nothing"u8));
        (await client.GetActionAsync(ReapiClient.Sha256Of("an action"u8)).RefusedAsync()).Status.ShouldBe(GrpcStatus.NotFound);

        // Measured when the status is out, so the client may be ahead.
        await Eventually.PassesAsync(
            async _ =>
            {
                var after = await ScrapeAsync();
                (Of(after, Found) - Of(before, Found)).ShouldBeGreaterThanOrEqualTo(2);
                (Of(after, Missed) - Of(before, Missed)).ShouldBeGreaterThanOrEqualTo(1);
            }, CancellationToken);
    }

    [Fact]
    public async Task Requests_of_the_http_caches_are_counted_by_tool_and_outcome()
    {
        var name = await server.CacheAsync();
        var url = $"/cache/acme/{name}/gradle/0123456789abcdef0123456789abcdef";
        var before = await ScrapeAsync();
        (await SendAsync(HttpMethod.Get, url, null, server.Owner)).ShouldBe(HttpStatusCode.NotFound);
        ((int)await SendAsync(HttpMethod.Put, url, new byte[5_000], server.Owner)).ShouldBeInRange(200, 204);
        (await SendAsync(HttpMethod.Get, url, null, server.Owner)).ShouldBe(HttpStatusCode.OK);
        (await SendAsync(HttpMethod.Get, url, null, null)).ShouldBe(HttpStatusCode.Unauthorized);

        await Eventually.PassesAsync(
            async _ =>
            {
                var after = await ScrapeAsync();
                foreach (var outcome in (string[])["miss", "stored", "hit", "refused"])
                {
                    var series = $$"""slipway_buildcache_http_duration_seconds_count{tool="gradle",outcome="{{outcome}}"}""";
                    (Of(after, series) - Of(before, series)).ShouldBeGreaterThanOrEqualTo(1, outcome);
                }

                foreach (var direction in (string[])["up", "down"])
                {
                    var series = $$"""slipway_buildcache_http_transferred_bytes_total{tool="gradle",direction="{{direction}}"}""";
                    (Of(after, series) - Of(before, series)).ShouldBeGreaterThanOrEqualTo(5_000, direction);
                }
            }, CancellationToken);
        (await ScrapeAsync()).Keys.ShouldNotContain(series => series.Contains(name, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Stores_are_told_by_name()
    {
        using var client = await ReapiClient.NewAsync(server);
        await client.PutAsync(ReapiClient.Bytes(100_000));
        var metrics = await ScrapeAsync();
        Of(metrics, """slipway_content_stored_bytes{store="buildcache"}""").ShouldBeGreaterThan(100_000);
        Of(metrics, """slipway_content_blobs{store="buildcache"}""").ShouldBeGreaterThan(0);
        metrics.Keys.ShouldContain("""slipway_stores_scrub_faults{store="buildcache"}""");
    }

    private async Task<HttpStatusCode> SendAsync(HttpMethod method, string url, byte[]? body, string? token)
    {
        using var request = new HttpRequestMessage(method, url) { Content = body is null ? null : new ByteArrayContent(body) };
        request.Headers.Authorization = token is null ? null : new AuthenticationHeaderValue("Bearer", token);
        using var response = await server.Client.SendAsync(request, CancellationToken);
        return response.StatusCode;
    }

    private async Task<Dictionary<string, double>> ScrapeAsync()
    {
        var text = await server.Client.GetStringAsync("/metrics", CancellationToken);
        return text.Split('\n').Where(line => line.Length > 0 && line[0] != '#').Select(line => (At: line.LastIndexOf(' '), Line: line))
            .ToDictionary(line => line.Line[..line.At], line => double.Parse(line.Line[(line.At + 1)..], CultureInfo.InvariantCulture));
    }

    private static double Of(Dictionary<string, double> metrics, string series) => metrics.GetValueOrDefault(series);
}
