using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Shouldly;
using Slipway.Queue;
using Slipway.Resp;
using Slipway.Server.Health;
using Slipway.Testing;
using Xunit;

namespace Slipway.Server.Tests.Health;

public sealed partial class HealthTests
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    [Trait("speed", "slow")]
    public async Task Readyz_names_each_check_and_turns_with_the_engines()
    {
        await using var server = new RunningServer();
        await server.InitializeAsync();

        var (status, checks) = await AskAsync(server);
        status.ShouldBe(HttpStatusCode.OK);
        checks.Keys.ShouldBe(["database", "queue", "content-stores", "workers"], ignoreOrder: true);
        checks.Values.ShouldAllBe(check => check.GetProperty("status").GetString() == "ok");
        checks["content-stores"].GetProperty("freeBytes").GetInt64().ShouldBePositive();

        await server.Redis.KillAsync(CancellationToken);
        await Eventually.PassesAsync(
            async _ =>
            {
                var (later, found) = await AskAsync(server);
                later.ShouldBe(HttpStatusCode.ServiceUnavailable);
                found["queue"].GetProperty("status").GetString().ShouldBe("failed");
                found["database"].GetProperty("status").GetString().ShouldBe("ok");
            },
            CancellationToken);

        await server.DropDatabaseAsync();
        await Eventually.PassesAsync(
            async _ => (await AskAsync(server)).Checks["database"].GetProperty("reason").GetString().ShouldNotBeNullOrEmpty(),
            CancellationToken);
        (await server.Client.GetStringAsync("/healthz", CancellationToken)).ShouldBe("ok\n");
    }

    [Fact]
    public async Task Readyz_refuses_a_redis_that_may_evict_jobs()
    {
        await using var server = new RunningServer();
        await server.InitializeAsync();
        await using (var redis = await RespConnection.ConnectAsync(new RespOptions { Url = server.Redis.Url }, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance, CancellationToken))
        {
            await redis.SendAsync(RespCommand.Of("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"), CancellationToken);
        }

        var (status, checks) = await AskAsync(server);

        status.ShouldBe(HttpStatusCode.ServiceUnavailable);
        checks["queue"].GetProperty("reason").GetString()!.ShouldContain("allkeys-lru");
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task Readyz_takes_a_redis_that_may_evict_jobs_where_the_operator_says_so()
    {
        await using var server = new RunningServer();
        await server.StartAsync(_ => { }, ("redis.allowEviction", "true"));
        await using (var redis = await RespConnection.ConnectAsync(new RespOptions { Url = server.Redis.Url }, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance, CancellationToken))
        {
            await redis.SendAsync(RespCommand.Of("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"), CancellationToken);
        }

        var (status, checks) = await AskAsync(server);

        status.ShouldBe(HttpStatusCode.OK);
        checks["queue"].GetProperty("note").GetString()!.ShouldContain("redis.allowEviction");
    }

    [Fact]
    public async Task Worker_that_gets_no_answer_for_long_makes_the_server_unready()
    {
        var since = TimeSpan.FromSeconds(29);
        var check = Checks.OfWorkers([new WorkerProgress("nix", () => TimeSpan.Zero), new WorkerProgress("mail", () => since)]);
        (await check.RunAsync(CancellationToken)).Problem.ShouldBeNull();
        since = TimeSpan.FromSeconds(31);
        (await check.RunAsync(CancellationToken)).Problem!.ShouldStartWith("the worker of queue mail has got no answer from Redis for 31 s");
    }

    [Fact]
    public async Task Metrics_are_prometheus_text_with_requests_by_route()
    {
        await using var server = new RunningServer();
        await server.InitializeAsync();
        await server.Client.GetStringAsync("/test/number/4711", CancellationToken);

        using var response = await server.Client.GetAsync("/metrics", CancellationToken);
        var text = await response.Content.ReadAsStringAsync(CancellationToken);

        response.Content.Headers.ContentType!.ToString().ShouldStartWith("text/plain; version=0.0.4");
        text.ShouldEndWith("\n");
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            (line.StartsWith("# HELP ", StringComparison.Ordinal) || TypeLine().IsMatch(line) || SampleLine().IsMatch(line)).ShouldBeTrue(line);
        }

        var samples = text.Split('\n').Where(line => line.Length > 0 && line[0] != '#').Select(line => line[..line.LastIndexOf(' ')]).ToList();
        samples.Distinct().Count().ShouldBe(samples.Count, "a series may be there only once");
        text.ShouldMatch(@"http_server_request_duration_seconds_count\{[^}]*http_route=""/test/number/\{number:int\}""[^}]*\} 1\n");
        text.ShouldNotContain("4711");
        text.ShouldContain("process_resident_memory_bytes ");
        text.ShouldContain("process_cpu_seconds_total ");
        text.ShouldContain("dotnet_gc_");
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task A_stopping_server_says_so_first_and_finishes_what_it_has()
    {
        var entered = new TaskCompletionSource();
        var release = new TaskCompletionSource();
        await using var server = new RunningServer();
        await server.StartAsync(
            app => app.MapGet("/slow", async () =>
            {
                entered.SetResult();
                await release.Task;
                return TypedResults.Text("finished");
            }),
            ("drain.delaySeconds", "300"), ("drain.seconds", "60"));
        var slow = server.Client.GetStringAsync("/slow", CancellationToken);
        await entered.Task;

        // The delay lasts until the test ends it by "force" having been asked: here listeners are open and readyz says no.
        using var force = new CancellationTokenSource();
        var stopping = server.Server.StopAsync(force.Token);
        var (status, checks) = await AskAsync(server);
        status.ShouldBe(HttpStatusCode.ServiceUnavailable);
        checks["serving"].GetProperty("reason").GetString()!.ShouldContain("draining");

        stopping.IsCompleted.ShouldBeFalse();
        release.SetResult();
        (await slow).ShouldBe("finished");
        await force.CancelAsync();
        await stopping;
        await Should.ThrowAsync<HttpRequestException>(() => server.Client.GetStringAsync("/healthz", CancellationToken));
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task A_request_under_way_outlives_the_listeners_and_force_ends_it()
    {
        var entered = new TaskCompletionSource();
        var release = new TaskCompletionSource();
        await using var server = new RunningServer();
        await server.StartAsync(
            app => app.MapGet("/slow", async () =>
            {
                entered.TrySetResult();
                await release.Task;
                return TypedResults.Text("finished");
            }));
        var slow = server.Client.GetStringAsync("/slow", CancellationToken);
        await entered.Task;

        var stopping = server.Server.StopAsync(CancellationToken.None);
        await Eventually.PassesAsync(
            async cancellationToken =>
            {
                using var fresh = new HttpClient { BaseAddress = server.Server.Url };
                await Should.ThrowAsync<HttpRequestException>(() => fresh.GetStringAsync("/healthz", cancellationToken));
            },
            CancellationToken);
        stopping.IsCompleted.ShouldBeFalse();
        release.SetResult();

        (await slow).ShouldBe("finished");
        await stopping;
    }

    private static async Task<(HttpStatusCode Status, Dictionary<string, JsonElement> Checks)> AskAsync(RunningServer server)
    {
        using var response = await server.Client.GetAsync("/readyz", CancellationToken);
        using var report = JsonDocument.Parse(await response.Content.ReadAsStringAsync(CancellationToken));
        return (response.StatusCode, report.RootElement.GetProperty("checks").EnumerateArray().ToDictionary(check => check.GetProperty("name").GetString()!, check => check.Clone()));
    }

    [GeneratedRegex("""^# TYPE [a-zA-Z_:][a-zA-Z0-9_:]* (counter|gauge|histogram)$""")]
    private static partial Regex TypeLine();

    [GeneratedRegex("""^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\["\\n])*",?)*\})? ([0-9.eE+-]+|\+Inf|-Inf|NaN)$""")]
    private static partial Regex SampleLine();
}
