using System.CommandLine;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Producing;

/// <param name="Files">That fit the patterns.</param>
/// <param name="Known">Of which a job is or was there already.</param>
/// <param name="Young">Changed so recently that they may still be written.</param>
/// <param name="Skipped">Folders and files that could not be looked at.</param>
internal sealed record ScanReport(long Files, long Added, long Known, long Young, long Skipped, bool DryRun);

/// <summary><c>slipway jobs scan FOLDER QUEUE</c>: one job per file, each file once.</summary>
internal sealed class ScanFolder : JobVerb
{
    private static readonly TimeSpan Remembered = TimeSpan.FromDays(30);

    private static readonly Dictionary<string, int> Levels = new(StringComparer.Ordinal)
    {
        ["highest"] = 0, ["higher"] = 1, ["high"] = 2, ["normal"] = 3, ["low"] = 5, ["lower"] = 6, ["lowest"] = 7,
    };

    private readonly Argument<string> folder;
    private readonly Argument<string> queue;
    private readonly Option<string[]> include;
    private readonly Option<string[]> exclude;
    private readonly Option<string?> type;
    private readonly Option<string?> priority;
    private readonly Option<double?> rate;
    private readonly Option<bool> follow;
    private readonly Option<TimeSpan?> settle;
    private readonly Option<TimeSpan?> every;
    private readonly Option<TimeSpan?> remember;
    private readonly Option<bool> dryRun;

    public ScanFolder()
        : base("scan", "Enqueue a job for each file of a folder, each file once")
    {
        folder = Positional("FOLDER", "Looked through with all its subfolders");
        queue = QueueArgument();
        include = Texts("--include", "GLOB", "Only files whose path in FOLDER fits, such as '**/*.csv'; may be given several times");
        exclude = Texts("--exclude", "GLOB", "No files, and no folders, whose path fits, such as '**/tmp'; may be given several times");
        type = Text("--type", "TYPE", "Job type; \"file\" unless given");
        priority = Text("--priority", "EXT=LEVEL,…", "By extension, such as .csv=high,.log=low,*=normal; a level is 0 to 7 or highest, high, normal, low, lowest");
        rate = PerSecond("--rate", "Enqueue at most so many a second, evenly");
        follow = Flag("--follow", "Follow symbolic links to folders; each folder is looked at once");
        settle = Duration("--settle", "Leave files alone that were changed in the last while: they may still be written; 2s unless given", TimeSpan.Zero, TimeSpan.FromDays(1));
        every = Duration("--every", "Look again each while, until Ctrl-C; else once", TimeSpan.FromSeconds(1), TimeSpan.FromDays(7));
        remember = Duration("--remember", "How long after its job completed a file is still known; 30d unless given", TimeSpan.Zero, TimeSpan.FromDays(366));
        dryRun = Flag("--dry-run", "Only print the files");
    }

    public override string Remarks =>
        "The payload is {\"path\":…,\"size\":…,\"mtime\":…}. Path, size and time of change make the job's unique key: a second scan adds nothing. A changed file is a new job, and so is one whose job failed for good.\n"
        + "Patterns: * and ? within a name, ** over folders, [a-z], {csv,tsv}. One without / fits a name in any folder.";

    public override IReadOnlyList<string> Examples =>
    [
        "jobs scan /srv/inbox acme/import --include '**/*.{csv,json}' --priority .csv=high,.json=low --rate 100/s",
        "jobs scan . acme/import --exclude '**/.git' --every 30s",
        "jobs work acme/import --exec 'import {.path}'",
    ];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var root = Path.GetFullPath(run.Get(folder));
        if (!Directory.Exists(root))
        {
            throw new CliFailure(ExitCodes.Usage, "no_folder", $"there is no folder {root}");
        }

        var (org, name) = run.Queue(run.Get(queue));
        var levels = ReadLevels(run.Get(priority));
        while (true)
        {
            var report = await ScanAsync(run, root, org, name, levels, cancellationToken);
            if (run.Json)
            {
                run.Out.WriteLine(JsonSerializer.Serialize(report, run.Get(every) is null ? JobsJson.Indented.ScanReport : JobsJson.Lines.ScanReport));
                run.Out.Flush();
            }
            else if (run.Get(every) is null || report.Added > 0)
            {
                run.Done(Words(report, $"{org}/{name}"));
            }

            if (run.Get(every) is not { } pause)
            {
                return ExitCodes.Ok;
            }

            await Task.Delay(pause, run.Environment.Time, cancellationToken);
        }
    }

    private async Task<ScanReport> ScanAsync(Invocation run, string root, string org, string name, Func<string, int?> levels, CancellationToken cancellationToken)
    {
        var report = new ScanReport(0, 0, 0, 0, 0, run.Get(dryRun));
        var walk = new FileWalk(Globs(run.Get(include)), Globs(run.Get(exclude)), run.Get(follow), (path, why) =>
        {
            report = report with { Skipped = report.Skipped + 1 };
            run.Terminal.Warn($"left out {Printable.Text(path)}: {Printable.Text(why)}");
        });
        var bulk = new BulkEnqueue(run, org, name, durability: null, "file", answer =>
            report = report with { Added = report.Added + answer.Added, Known = report.Known + answer.Jobs.Count - answer.Added });
        var pace = run.Get(rate) is { } perSecond ? new Pace(perSecond, run.Environment.Time) : null;
        var youngest = run.Now - (run.Get(settle) ?? TimeSpan.FromSeconds(2));
        var block = new MemoryStream();
        var count = 0;
        foreach (var file in walk.Files(root))
        {
            cancellationToken.ThrowIfCancellationRequested();
            report = report with { Files = report.Files + 1 };
            if (file.ModifiedAt > youngest)
            {
                report = report with { Young = report.Young + 1 };
                continue;
            }

            if (run.Get(dryRun))
            {
                if (!run.Json)
                {
                    run.Out.WriteLine(run.Quiet ? Printable.Text(file.Path) : $"{levels(file.Path)?.ToString(CultureInfo.InvariantCulture) ?? "3"}\t{Printable.Text(file.Path)}");
                }

                continue;
            }

            JsonSerializer.Serialize(block, JobOf(run, file, levels(file.Path)), ApiJson.Default.NewJob);
            block.WriteByte((byte)'\n');
            if (++count == (pace?.Burst ?? BulkEnqueue.BlockJobs))
            {
                await SendAsync();
            }
        }

        await SendAsync();
        return report;

        async Task SendAsync()
        {
            if (count > 0)
            {
                await (pace?.WaitAsync(count, cancellationToken) ?? Task.CompletedTask);
                await bulk.SendAsync(block.ToArray(), count, cancellationToken);
                block.SetLength(0);
                count = 0;
            }
        }
    }

    private NewJob JobOf(Invocation run, FoundFile file, int? level)
    {
        var mtime = file.ModifiedAt.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fffffff'Z'", CultureInfo.InvariantCulture);
        var payload = new JsonObject { ["path"] = file.Path, ["size"] = file.Size, ["mtime"] = mtime };
        // A key is at most 200 printable characters and a path may be anything: so its hash.
        var key = SHA256.HashData(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{file.Path}\0{file.Size}\0{mtime}")));
        return new NewJob(
            run.Get(type) ?? "file",
            Payload: JsonSerializer.SerializeToElement(payload, ApiJson.Default.JsonObject),
            Priority: level,
            Unique: "scan:" + Convert.ToHexStringLower(key),
            UniqueForMs: (long)(run.Get(remember) ?? Remembered).TotalMilliseconds);
    }

    private static string Words(ScanReport report, string queue) =>
        $"{Figures.Count(report.Files, "file")}: "
        + (report.DryRun ? "nothing enqueued" : $"{Figures.Count(report.Added, "job")} added to {queue}, {Figures.Count(report.Known)} known already")
        + (report.Young > 0 ? $", {Figures.Count(report.Young)} too fresh" : "")
        + (report.Skipped > 0 ? $", {Figures.Count(report.Skipped)} left out" : "");

    private static Glob[] Globs(string[]? patterns) => [.. (patterns ?? []).Select(pattern => new Glob(pattern))];

    /// <summary>The level of a path, by the longest extension that fits.</summary>
    private static Func<string, int?> ReadLevels(string? text)
    {
        var rules = new List<(string Extension, int Level)>();
        foreach (var rule in (text ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (rule.Split('=') is not [var extension, var word] || (extension != "*" && (extension.Length < 2 || extension[0] != '.'))
                || (Levels.TryGetValue(word, out var level) ? level : int.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out level) && level <= 7 ? level : -1) is not (>= 0 and var known))
            {
                throw CliFailure.Usage($"\"{rule}\" is not a rule of --priority: write .csv=high or *=5", "slipway jobs scan FOLDER QUEUE --priority .csv=high,.log=low,*=normal");
            }

            rules.Add((extension == "*" ? "" : extension, known));
        }

        rules.Sort(static (a, b) => b.Extension.Length.CompareTo(a.Extension.Length));
        return path => rules.Where(rule => path.EndsWith(rule.Extension, StringComparison.OrdinalIgnoreCase)).Select(rule => (int?)rule.Level).FirstOrDefault();
    }
}
