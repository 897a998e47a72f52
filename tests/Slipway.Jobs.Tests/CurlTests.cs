using System.Diagnostics;
using System.Text.Json.Nodes;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Jobs.Tests;

/// <summary>The protocol as docs/protocols/jobs-http.md tells it, spoken by the real curl with keys that can do one thing each.</summary>
public sealed class CurlTests(JobsServer server) : IClassFixture<JobsServer>
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_call_of_the_protocol_works_with_curl()
    {
        var queue = await server.QueueAsync(name: "curl");
        var producer = await KeyAsync("jobs:enqueue:acme/curl", "jobs:peek:acme/curl");
        var worker = await KeyAsync("jobs:work:acme/curl");
        var admin = await KeyAsync("jobs:admin:acme/curl", "jobs:read:acme/*", "jobs:read:acme");

        // Producing.
        var job = (await PostAsync(producer, "/jobs", """{"type":"mail","payload":{"to":"a@b.c"},"track":true}""")).Text("id");
        (await PostAsync(producer, "/jobs/bulk", """{"jobs":[{"type":"mail"},{"type":"mail","priority":0}]}"""))["added"]!.GetValue<int>().ShouldBe(2);
        (await CurlAsync(producer, "POST", "/jobs/bulk", "{\"type\":\"mail\"}\n{\"type\":\"mail\",\"delayMs\":3600000}\n", "-H", "Content-Type: application/x-ndjson"))["added"]!.GetValue<int>().ShouldBe(2);
        var batch = (await PostAsync(producer, "/batches", """{"callback":{"type":"report"}}""")).Text("id");
        await PostAsync(producer, "/jobs", $$"""{"type":"part","batch":"{{batch}}","priority":7}""");
        (await PostAsync(producer, $"/batches/{batch}/close", "{}"))["open"]!.GetValue<bool>().ShouldBeFalse();

        // Looking.
        (await GetAsync(producer, "/peek?count=2"))["jobs"]!.AsArray().Count.ShouldBe(2);
        (await GetAsync(admin, "/stats"))["readyTotal"]!.GetValue<long>().ShouldBe(5);
        (await GetAsync(admin, ""))["settings"]!["paused"]!.GetValue<bool>().ShouldBeFalse();
        (await GetAsync(admin, "/history")).ContainsKey("minutes").ShouldBeTrue();
        (await GetAsync(admin, $"/batches/{batch}"))["pending"]!.GetValue<long>().ShouldBe(1);

        // Working.
        var lease = await PostAsync(worker, "/lease", """{"max":10,"leaseMs":30000,"waitMs":1000,"worker":"w1"}""");
        var block = lease["blocks"]!.AsArray().ShouldHaveSingleItem()!;
        var jobs = block["jobs"]!.AsArray();
        jobs.Count.ShouldBe(5);
        var tracked = jobs.Select((one, index) => (one!.Text("id"), index)).Single(one => one.Item1 == job).index;
        (await PostAsync(worker, $"/jobs/{job}/progress", """{"progress":40,"note":"half"}""")).Text("state").ShouldBe("running");
        (await PostAsync(worker, $"/blocks/{block.Text("id")}/extend", """{"leaseMs":60000}"""))["blocks"]![0]!.Text("state").ShouldBe("extended");
        var others = string.Join(',', Enumerable.Range(0, 5).Where(index => index != tracked).Skip(1));
        var failed = Enumerable.Range(0, 5).First(index => index != tracked);
        (await PostAsync(worker, $"/blocks/{block.Text("id")}/ack",
            $$$"""{"done":[{{{others}}}],"ended":[{"index":{{{tracked}}},"kind":"completed","result":{"ok":true}},{"index":{{{failed}}},"kind":"dead","reason":"exit 1"}]}""")).Text("state").ShouldBe("acked");
        (await GetAsync(producer, $"/jobs/{job}"))["result"]!.ToJsonString().ShouldBe("""{"ok":true}""");
        var callback = (await PostAsync(worker, "/lease", """{"waitMs":10000}"""))["blocks"]![0]!;
        callback["jobs"]![0]!.Text("type").ShouldBe("report");
        (await PostAsync(worker, "/ack", $$"""{"blocks":[{"id":"{{callback.Text("id")}}"}]}"""))["blocks"]![0]!.Text("state").ShouldBe("acked");
        (await PostAsync(worker, "/extend", $$"""{"blocks":["{{callback.Text("id")}}"]}"""))["blocks"]![0]!.Text("state").ShouldBe("late");
        (await GetAsync(worker, "/wake")).ContainsKey("seen").ShouldBeTrue();
        (await CurlAsync(worker, "PUT", "/workers/w1", """{"about":"curl"}""", "-H", "Content-Type: application/json")).Text("name").ShouldBe("w1");

        // Administering.
        (await PostAsync(admin, "/pause", """{"type":"mail"}"""))["settings"]!["types"]!["mail"]!["paused"]!.GetValue<bool>().ShouldBeTrue();
        await PostAsync(admin, "/resume", """{"type":"mail"}""");
        await CurlAsync(admin, "PUT", "/schedules/nightly", """{"cron":"0 3 * * *","timeZone":"Europe/Berlin","job":{"type":"cleanup"}}""", "-H", "Content-Type: application/json");
        (await GetAsync(admin, "/schedules"))["items"]!.AsArray().Count.ShouldBe(1);
        (await GetAsync(producer, "/dead-letters"))["items"]![0]!.Text("reason").ShouldBe("exit 1");
        var operation = (await PostAsync(admin, "/dead-letters/redrive", """{"perSecond":100}""")).Text("id");
        (await GetAsync(admin, $"/operations/{operation}?wait=20"))["done"]!.GetValue<long>().ShouldBe(1);
        (await GetAsync(admin, "/workers"))["items"]!.AsArray().Select(one => one!.Text("name")).ShouldContain("w1");

        // What a key can't do.
        (await CurlAsync(worker, "POST", "/jobs", """{"type":"mail"}""", "-H", "Content-Type: application/json")).Text("code").ShouldBe("scope_missing");
        (await CurlAsync(producer, "POST", "/lease", "{}", "-H", "Content-Type: application/json")).Text("code").ShouldBe("scope_missing");

        Task<JsonObject> GetAsync(string key, string path) => CurlAsync(key, "GET", path, null);
        Task<JsonObject> PostAsync(string key, string path, string body) => CurlAsync(key, "POST", path, body, "-H", "Content-Type: application/json");
        Task<JsonObject> CurlAsync(string key, string method, string path, string? body, params string[] more) => RunAsync(
            ["-sS", "-X", method, "-H", "Authorization: Bearer " + key, .. body is null ? Array.Empty<string>() : ["--data-binary", body], .. more, new Uri(server.Running.Server.Url, queue.Url + path).ToString()]);
    }

    private Task<string> KeyAsync(params string[] scopes) => server.World.IssueAsync(server.Owner, scopes, CancellationToken);

    private static async Task<JsonObject> RunAsync(string[] arguments)
    {
        using var curl = Process.Start(new ProcessStartInfo("curl", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = curl.StandardOutput.ReadToEndAsync(CancellationToken);
        var errors = curl.StandardError.ReadToEndAsync(CancellationToken);
        await curl.WaitForExitAsync(CancellationToken);
        curl.ExitCode.ShouldBe(0, await errors);
        return JsonNode.Parse(await output)!.AsObject();
    }
}
