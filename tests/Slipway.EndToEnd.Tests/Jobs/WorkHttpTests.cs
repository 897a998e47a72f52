using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json.Nodes;

namespace Slipway.EndToEnd.Tests.Jobs;

/// <summary><c>slipway jobs work --http</c>, with a receiver written for Node.</summary>
public sealed class WorkHttpTests(JobsLab lab) : IClassFixture<JobsLab>, IDisposable
{
    private readonly TempFolder folder = new();
    private readonly string secret = "whsec_" + Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task Requests_are_signed_after_standard_webhooks_and_the_status_decides()
    {
        using var receiver = await ReceiverAsync(secret);
        var queue = await lab.QueueAsync();
        var done = await lab.EnqueueAsync(queue, """{"status":200,"answer":"{\"ok\":true}"}""", "--track");
        var gone = await lab.EnqueueAsync(queue, """{"status":410}""", "--track");
        await lab.EnqueueAsync(queue, """{"status":429,"headers":{"retry-after":"3600"}}""");
        await lab.EnqueueAsync(queue, """{"status":503,"headers":{"retry-after":"7200"}}""");
        await lab.EnqueueAsync(queue, """{"status":302,"headers":{"location":"/elsewhere"}}""");
        await lab.EnqueueAsync(queue, """{"status":500,"answer":"why"}""");
        var large = await lab.EnqueueAsync(queue, """{"status":200,"bytes":1000000}""", "--track");

        await using var worker = lab.Start("work", queue, "--http", receiver.Url, "--secret-file", SecretFile(secret), "--concurrency", "4", "--drain", "--json");
        (await worker.EndAsync()).ShouldBe(0, worker.ToString());

        var seen = await receiver.SeenAsync();
        seen.Count.ShouldBe(7);
        seen.ShouldAllBe(one => (bool)one!["signed"]! && (bool)one["fresh"]! && (string?)one["path"] == "/jobs" && (string?)one["type"] == "application/json");
        seen.Select(one => (string?)one!["id"]).ShouldContain(done);
        (await lab.StatusAsync(queue, done))["result"]!.ToJsonString().ShouldBe("""{"ok":true}""");
        ((string?)(await lab.StatusAsync(queue, gone))["state"]).ShouldBe("dead");
        ((string?)(await lab.StatusAsync(queue, large))["state"]).ShouldBe("completed");
        var ends = worker.Lines.Where(line => line["reason"] is not null).ToDictionary(line => (string)line["reason"]!);
        ((string?)ends["HTTP 429"]["event"], (long?)ends["HTTP 429"]["retryMs"]).ShouldBe(("retry", 3_600_000L));
        ((string?)ends["HTTP 503"]["event"], (long?)ends["HTTP 503"]["retryMs"]).ShouldBe(("retry", 7_200_000L));
        ((string?)ends["HTTP 302"]["event"]).ShouldBe("failed");
        ends["HTTP 302"]["error"]!.ToString().ShouldContain("redirects are not followed");
        ends["HTTP 500"]["error"]!.ToString().ShouldBe("HTTP 500: why");
        ((string?)ends["HTTP 410"]["event"]).ShouldBe("dead");
    }

    [Fact]
    public async Task A_receiver_with_another_secret_refuses_and_the_job_waits_for_its_next_run()
    {
        using var receiver = await ReceiverAsync("whsec_" + Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)));
        var queue = await lab.QueueAsync();
        await lab.EnqueueAsync(queue, """{"status":200}""");

        await using var worker = lab.Start("work", queue, "--http", receiver.Url, "--secret-file", SecretFile(secret), "--once", "--json");

        ((string?)(await worker.EventAsync("failed"))["reason"]).ShouldBe("HTTP 401");
        (await worker.EndAsync()).ShouldBe(1);
        ((long)(await lab.StatsAsync(queue))["delayed"]!).ShouldBe(1);
    }

    [Fact]
    public async Task Without_a_secret_nothing_is_sent_unless_asked_for()
    {
        var refused = await lab.CliAsync("work", "acme/any", "--http", "http://127.0.0.1:9/");

        refused.ExitCode.ShouldBe(2);
        refused.Errors.ShouldContain("--unsigned");
    }

    private string SecretFile(string text)
    {
        File.WriteAllText(folder.File("secret"), text + "\n");
        return folder.File("secret");
    }

    private static async Task<Receiver> ReceiverAsync(string secret)
    {
        if (!NodeProgram.IsThere)
        {
            Assert.Skip("node is not installed: the signature is checked by a program that shares no code with ours");
        }

        var process = Process.Start(new ProcessStartInfo("node", [Path.Combine(AppContext.BaseDirectory, "Jobs", "receiver.mjs"), secret]) { RedirectStandardOutput = true })!;
        var port = await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        return new Receiver(process, $"http://127.0.0.1:{port}");
    }

    private sealed class Receiver(Process process, string root) : IDisposable
    {
        public string Url => root + "/jobs";

        public async Task<JsonArray> SeenAsync()
        {
            using var http = new HttpClient();
            return JsonNode.Parse(await http.GetStringAsync(new Uri(root + "/seen"), TestContext.Current.CancellationToken))!.AsArray();
        }

        public void Dispose()
        {
            process.Kill();
            process.Dispose();
        }
    }
}

internal static class NodeProgram
{
    public static bool IsThere { get; } = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(Path.Combine(folder, "node")));
}
