using System.Globalization;
using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests.Jobs;

/// <summary><c>slipway jobs work --exec</c>: real commands, real signals.</summary>
public sealed class WorkCommandTests(JobsLab lab) : IClassFixture<JobsLab>, IDisposable
{
    /// <summary>Everything that a shell would act on.</summary>
    private const string Hostile = "'; touch pwned; \" $(touch pwned) `touch pwned` | touch pwned & ${IFS} \\ \n > pwned {} * ~ -n";

    private readonly TempFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task Payload_on_stdin_and_facts_in_the_environment_make_the_result_of_a_tracked_job()
    {
        var queue = await lab.QueueAsync();
        var id = await lab.EnqueueAsync(queue, "{\"to\":\"a\"}", "--track", "--priority", "1");

        (await lab.CliAsync("work", queue, "--shell", "--exec", "printf '[%s,\"%s\",\"%s\",%s,%s,\"%s\"]' \"$(cat)\" $SLIPWAY_JOB_ID $SLIPWAY_JOB_TYPE $SLIPWAY_JOB_ATTEMPT $SLIPWAY_JOB_PRIORITY $SLIPWAY_JOB_QUEUE", "--drain")).ShouldSucceed();

        var status = await lab.StatusAsync(queue, id);
        ((string?)status["state"]).ShouldBe("completed");
        status["result"]!.ToJsonString().ShouldBe($"[{{\"to\":\"a\"}},\"{id}\",\"test\",1,1,\"{queue}\"]");
    }

    [Theory]
    [InlineData("printf %s {}")]
    [InlineData("sh -c 'printf %s \"$1\"' sh {}")]
    [InlineData("printf %s \"$SLIPWAY_JOB_PAYLOAD\"", "--shell")]
    [InlineData("cat", "--shell")]
    public async Task A_payload_is_data_and_never_a_command(string command, params string[] options)
    {
        var queue = await lab.QueueAsync();
        var id = await lab.EnqueueAsync(queue, Hostile, "--track");
        var environment = lab.Environment;

        var start = new System.Diagnostics.ProcessStartInfo(Programs.Cli, ["jobs", "work", queue, "--exec", command, "--drain", "--json", .. options]) { WorkingDirectory = folder.Path, RedirectStandardOutput = true };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        using var worker = System.Diagnostics.Process.Start(start)!;
        var output = await worker.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await worker.WaitForExitAsync(TestContext.Current.CancellationToken);

        worker.ExitCode.ShouldBe(0, output);
        Directory.GetFileSystemEntries(folder.Path).ShouldBeEmpty();
        var result = (string)(await lab.StatusAsync(queue, id))["resultBytes"]!;
        System.Text.Encoding.UTF8.GetString(Convert.FromBase64String(result)).ShouldBe(Hostile);
    }

    [Fact]
    public async Task A_shell_command_never_gets_the_payload_spliced_in()
    {
        var refused = await lab.CliAsync("work", "acme/any", "--shell", "--exec", "echo {}");

        refused.ExitCode.ShouldBe(2);
        refused.Errors.ShouldContain("SLIPWAY_JOB_PAYLOAD");
    }

    [Theory]
    [InlineData(0, "completed", null)]
    [InlineData(75, "retry", "exit 75")]
    [InlineData(65, "dead", "exit 65")]
    [InlineData(1, "failed", "exit 1")]
    [InlineData(137, "failed", "exit 137 (SIGKILL)")]
    public async Task The_exit_code_decides(int exit, string kind, string? reason)
    {
        var queue = await lab.QueueAsync();
        await lab.EnqueueAsync(queue, exit.ToString(CultureInfo.InvariantCulture));
        await using var worker = lab.Start("work", queue, "--exec", "sh -c 'echo because >&2; exit $1' sh {}", "--once", "--json");

        var ended = await worker.EventAsync(kind);

        ((string?)ended["reason"]).ShouldBe(reason);
        ((string?)ended["error"]).ShouldBe(exit == 0 ? null : "because");
        (await worker.EndAsync()).ShouldBe(exit == 0 ? 0 : 1);
        var stats = await lab.StatsAsync(queue);
        ((long)stats["leased"]!).ShouldBe(0);
        ((long)stats["delayed"]!).ShouldBe(kind is "retry" or "failed" ? 1 : 0);
        ((long)stats["dead"]!).ShouldBe(kind == "dead" ? 1 : 0);
    }

    [Fact]
    public async Task Timeout_ends_the_command_with_all_it_started()
    {
        var queue = await lab.QueueAsync("--attempts", "1");
        await lab.EnqueueAsync(queue, "1", "--timeout", "1s");
        var pids = folder.File("pids");
        await using var worker = lab.Start("work", queue, "--exec", $"sh -c 'trap \"\" TERM; sleep 300 & echo $! $$ > {pids}; wait; sleep 300'", "--grace", "100ms", "--drain", "--json");

        (await worker.EndAsync()).ShouldBe(0);

        worker.Lines.Single(line => (string?)line["event"] == "failed")["reason"]!.ToString().ShouldBe("timeout");
        ((long)(await lab.StatsAsync(queue))["deadReasons"]!["timeout"]!).ShouldBe(1);
        await GoneAsync(pids);
    }

    [Fact]
    public async Task Sigterm_lets_running_jobs_end_and_leases_no_more()
    {
        var queue = await lab.QueueAsync();
        await lab.EnqueueAsync(queue, "1");
        await lab.EnqueueAsync(queue, "2");
        var goOn = folder.File("go-on");
        await using var worker = lab.Start("work", queue, "--exec", $"sh -c 'until [ -e {goOn} ]; do sleep 0.05; done'", "--json");
        await worker.EventAsync("started");

        await worker.SignalAsync("TERM");
        await worker.EventAsync("stopping");
        await File.WriteAllTextAsync(goOn, "", TestContext.Current.CancellationToken);

        (await worker.EndAsync()).ShouldBe(0, worker.ToString());
        var stats = await lab.StatsAsync(queue);
        ((long)stats["totals"]!["completed"]!).ShouldBe(1);
        ((long)stats["readyTotal"]!).ShouldBe(1);
        ((long)stats["leased"]!).ShouldBe(0);
    }

    [Fact]
    public async Task A_second_signal_gives_running_jobs_back_at_once()
    {
        var queue = await lab.QueueAsync();
        await lab.EnqueueAsync(queue, "1");
        var pids = folder.File("pids");
        await using var worker = lab.Start("work", queue, "--exec", $"sh -c 'trap \"\" TERM; echo $$ > {pids}; sleep 300 & wait; sleep 300'", "--json");
        await worker.EventAsync("started");
        await Eventually.TrueAsync(() => File.Exists(pids), TestContext.Current.CancellationToken);

        await worker.SignalAsync("INT");
        await worker.EventAsync("stopping");
        await worker.SignalAsync("INT");

        (await worker.EndAsync()).ShouldBe(0, worker.ToString());
        worker.Lines.ShouldContain(line => (string?)line["event"] == "released");
        ((long)(await lab.StatsAsync(queue))["readyTotal"]!).ShouldBe(1);
        (await lab.CliAsync("peek", queue, "--json")).ShouldSucceed().Output.ShouldContain("\"attempt\": 1");
        await GoneAsync(pids);
    }

    [Fact]
    public async Task Killed_workers_command_stops_and_another_worker_gets_the_job()
    {
        var queue = await lab.QueueAsync();
        await lab.EnqueueAsync(queue, "1");
        var pids = folder.File("pids");
        await using var first = lab.Start("work", queue, "--exec", $"sh -c 'echo $$ > {pids}; exec sleep 300'", "--lease", "1s", "--json");
        await Eventually.TrueAsync(() => File.Exists(pids), TestContext.Current.CancellationToken);

        await first.SignalAsync("KILL");
        await first.EndAsync();
        await using var second = lab.Start("work", queue, "--exec", "true", "--json");

        await second.EventAsync("completed", TimeSpan.FromSeconds(30));
        ((long)(await lab.StatsAsync(queue))["totals"]!["lost"]!).ShouldBe(1);
        await GoneAsync(pids);
        await second.SignalAsync("TERM");
        (await second.EndAsync()).ShouldBe(0);
    }

    [Fact]
    public async Task Frozen_worker_that_lost_its_lease_stops_its_command_and_says_nothing_of_it()
    {
        var queue = await lab.QueueAsync();
        var id = await lab.EnqueueAsync(queue, "1", "--track");
        var pids = folder.File("pids");
        await using var first = lab.Start("work", queue, "--exec", $"sh -c 'echo $$ > {pids}; exec sleep 300'", "--lease", "1s", "--grace", "100ms", "--json");
        await Eventually.TrueAsync(() => File.Exists(pids), TestContext.Current.CancellationToken);

        await first.SignalAsync("STOP");
        await using var second = lab.Start("work", queue, "--exec", "echo second", "--json");
        await second.EventAsync("completed", TimeSpan.FromSeconds(30));
        await first.SignalAsync("CONT");

        await first.EventAsync("lost");
        await GoneAsync(pids);
        var status = await lab.StatusAsync(queue, id);
        ((string?)status["state"]).ShouldBe("completed");
        await second.SignalAsync("TERM");
        await first.SignalAsync("TERM");
        await first.EndAsync();
        await second.EndAsync();
    }

    [Fact]
    public async Task A_job_longer_than_its_lease_keeps_it()
    {
        var queue = await lab.QueueAsync();
        await lab.EnqueueAsync(queue, "1");
        await using var worker = lab.Start("work", queue, "--exec", "sleep 3", "--lease", "1s", "--drain", "--json");

        var ended = await worker.EventAsync("completed");

        ((int)ended["attempt"]!).ShouldBe(1);
        (await worker.EndAsync()).ShouldBe(0);
        ((long?)(await lab.StatsAsync(queue))["totals"]!["lost"] ?? 0).ShouldBe(0);
    }

    [Fact]
    public async Task Cancelling_a_running_job_stops_its_command()
    {
        var queue = await lab.QueueAsync();
        var id = await lab.EnqueueAsync(queue, "1", "--track");
        var pids = folder.File("pids");
        await using var worker = lab.Start("work", queue, "--exec", $"sh -c 'echo $$ > {pids}; exec sleep 300'", "--drain", "--json");
        await Eventually.TrueAsync(() => File.Exists(pids), TestContext.Current.CancellationToken);

        (await lab.CliAsync("cancel", queue, id, "--yes")).ShouldSucceed();

        await worker.EventAsync("cancelled");
        (await worker.EndAsync()).ShouldBe(0);
        ((string?)(await lab.StatusAsync(queue, id))["state"]).ShouldBe("cancelled");
        await GoneAsync(pids);
    }

    /// <summary>None of the processes whose ids the command wrote lives any more.</summary>
    private static Task GoneAsync(string pids) => Eventually.TrueAsync(
        () => File.ReadAllText(pids).Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries).All(IsGone), TestContext.Current.CancellationToken);

    private static bool IsGone(string pid)
    {
        try
        {
            // A zombie that nobody reaps in a container is as gone as it gets.
            return File.ReadAllText($"/proc/{pid}/stat").Contains(") Z ", StringComparison.Ordinal);
        }
        catch (IOException)
        {
            return true;
        }
    }
}
