using System.Text.Json.Nodes;

namespace Slipway.EndToEnd.Tests.Jobs;

/// <summary><c>slipway jobs scan</c></summary>
public sealed class ScanTests(JobsLab lab) : IClassFixture<JobsLab>, IDisposable
{
    private static readonly DateTime Old = new(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc);

    private readonly TempFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task Each_file_becomes_one_job_however_often_it_is_scanned()
    {
        Write("a.csv", "1");
        Write("deep/er/b.csv", "22");
        Write("c.log", "3");
        Write("skip/d.csv", "4");
        // A loop, and a link to a file that is there.
        Directory.CreateSymbolicLink(folder.File("deep/loop"), folder.Path);
        File.CreateSymbolicLink(folder.File("broken.csv"), folder.File("nothing"));
        var queue = await lab.QueueAsync();
        string[] scan = ["scan", folder.Path, queue, "--include", "**/*.{csv,log}", "--exclude", "skip", "--priority", ".csv=high,.log=low", "--follow", "--json"];

        (await ReportAsync(scan)).ToJsonString().ShouldBe("""{"files":3,"added":3,"known":0,"young":0,"skipped":2,"dryRun":false}""");
        (await ReportAsync(scan))["added"]!.GetValue<long>().ShouldBe(0);

        (await lab.CliAsync("work", queue, "--exec", "test -f {.path}", "--drain")).ShouldSucceed();
        var totals = (await lab.StatsAsync(queue))["totals"]!;
        totals["completed"]!.GetValue<long>().ShouldBe(3);
        // Done is known, too; a changed file is new.
        (await ReportAsync(scan))["known"]!.GetValue<long>().ShouldBe(3);
        Write("a.csv", "longer");
        (await ReportAsync(scan))["added"]!.GetValue<long>().ShouldBe(1);
        var waiting = JsonNode.Parse((await lab.CliAsync("peek", queue, "--json")).ShouldSucceed().Output)!["jobs"]![0]!;
        waiting["priority"]!.GetValue<int>().ShouldBe(2);
        waiting["payload"]!["path"]!.GetValue<string>().ShouldBe(folder.File("a.csv"));
        waiting["payload"]!["size"]!.GetValue<long>().ShouldBe(6);
    }

    [Fact]
    public async Task A_dry_run_only_names_the_files_and_fresh_ones_are_left_alone()
    {
        Write("old.csv", "1");
        File.WriteAllText(folder.File("fresh.csv"), "2");
        var queue = await lab.QueueAsync();

        var dry = await lab.CliAsync("scan", folder.Path, queue, "--dry-run", "--settle", "1h");

        dry.ShouldSucceed().Output.ShouldBe($"3\t{folder.File("old.csv")}\n");
        ((long)(await lab.StatsAsync(queue))["readyTotal"]!).ShouldBe(0);
    }

    private async Task<JsonObject> ReportAsync(string[] scan) => JsonNode.Parse((await lab.CliAsync(scan)).ShouldSucceed().Output)!.AsObject();

    private void Write(string name, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(folder.File(name))!);
        File.WriteAllText(folder.File(name), text);
        File.SetLastWriteTimeUtc(folder.File(name), Old);
    }
}
