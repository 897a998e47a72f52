using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Slipway.Api;
using Slipway.Cli.Jobs.Watching;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Producing;

/// <param name="Added">Jobs that are new.</param>
/// <param name="Duplicates">Whose unique key or id was taken.</param>
/// <param name="Refused">Whose batch was closed, or whose predecessor failed.</param>
internal sealed record EnqueueReport(long Added, long Duplicates, long Refused)
{
    public EnqueueReport And(EnqueuedJobs answer)
    {
        var duplicates = answer.Jobs.Count(job => job.Outcome == "duplicate");
        return new EnqueueReport(Added + answer.Added, Duplicates + duplicates, Refused + answer.Jobs.Count - answer.Added - duplicates);
    }

    public string Words =>
        $"{Figures.Count(Added, "job")} added"
        + (Duplicates > 0 ? $", {Figures.Count(Duplicates)} there already" : "")
        + (Refused > 0 ? $", {Figures.Count(Refused)} refused (batch closed, or a predecessor dead or not known)" : "");
}

/// <summary><c>slipway jobs enqueue QUEUE [PAYLOAD]</c>: one job; or many, one a line.</summary>
internal sealed class EnqueueJobs : JobVerb
{
    private static readonly TimeSpan Year = TimeSpan.FromDays(366);

    private readonly Argument<string> queue;
    private readonly Argument<string?> payload;
    private readonly Option<string?> type;
    private readonly Option<string?> file;
    private readonly Option<bool> lines;
    private readonly Option<bool> ndjson;
    private readonly Option<int?> priority;
    private readonly Option<TimeSpan?> delay;
    private readonly Option<string?> at;
    private readonly Option<string?> unique;
    private readonly Option<TimeSpan?> uniqueFor;
    private readonly Option<int?> cost;
    private readonly Option<int?> attempts;
    private readonly Option<TimeSpan?> timeout;
    private readonly Option<bool> track;
    private readonly Option<string?> id;
    private readonly Option<string[]> after;
    private readonly Option<string?> durability;

    public EnqueueJobs()
        : base("enqueue", "Add one job; or many, one a line")
    {
        queue = QueueArgument();
        payload = new Argument<string?>("PAYLOAD") { Description = "JSON, or any text; - reads stdin", Arity = ArgumentArity.ZeroOrOne };
        Add(payload);
        type = Text("--type", "TYPE", "Chooses the handler, such as mail.send; required but with --ndjson");
        file = Text("--file", "FILE", "Read the payload (or the lines) from a file; - is stdin");
        lines = Flag("--lines", "Each line of the file is the payload of a job");
        ndjson = Flag("--ndjson", "Each line of the file is a whole job: {\"type\":…,\"payload\":…,\"priority\":…}");
        priority = Number("--priority", "N", "0 is first, 7 last; 3 unless given", least: 0, most: 7);
        delay = Duration("--delay", "Not before so much time has passed", TimeSpan.Zero, Year);
        at = Text("--at", "TIME", "Not before this moment, such as 2027-01-31T08:00:00Z");
        unique = Text("--unique", "KEY", "While a job with this key waits or runs, add no second one");
        uniqueFor = Duration("--unique-for", "The key stays taken so long after the job completed", TimeSpan.Zero, Year);
        cost = Number("--cost", "N", "What it takes from a rate limit", least: 1, most: 255);
        attempts = Number("--attempts", "N", "Runs in all; the queue's policy unless given", least: 1, most: 255);
        timeout = Duration("--timeout", "What a run may take", TimeSpan.FromMilliseconds(1), Year);
        track = Flag("--track", "Keep state, progress and result under its id, and let it be cancelled");
        id = Text("--id", "UUID", "Of the job; a new one unless given");
        after = Texts("--after", "ID", "Tracked job that must complete first; may be given several times");
        durability = Choice("--durability", "What the enqueue must survive; what the server is set to unless given", ["server", "memory", "aof", "fsync", "replicated"]);
    }

    public override string Remarks =>
        "stdout gets the job's id; with many, the ids with --quiet. While the queue is full, many jobs wait for room and one is refused.\n"
        + "A line that the server refuses stops the rest; the error names it.";

    public override IReadOnlyList<string> Examples =>
    [
        "jobs enqueue acme/mail --type send '{\"to\":\"a@example.com\"}'",
        "jobs enqueue acme/mail --type send --delay 10m --unique mail:a@example.com --track '{\"to\":\"a@example.com\"}'",
        "jobs enqueue acme/video --type encode --file film.json",
        "jobs enqueue acme/mail --type send --lines --file - < addresses.txt",
        "jobs enqueue acme/mail --ndjson --file jobs.ndjson",
    ];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var source = run.Get(file) ?? (run.Get(payload) == "-" ? "-" : null);
        if (run.Get(payload) is not (null or "-") && run.Get(file) is not null)
        {
            throw CliFailure.Usage("PAYLOAD and --file can't both be");
        }

        var many = run.Get(lines) || run.Get(ndjson);
        if (run.Get(lines) && run.Get(ndjson))
        {
            throw CliFailure.Usage("--lines and --ndjson can't both be");
        }

        if (many && run.Get(payload) is not (null or "-"))
        {
            throw CliFailure.Usage("lines come from a file or stdin", "slipway jobs enqueue QUEUE --lines --file FILE");
        }

        if (run.Get(type) is null && !run.Get(ndjson))
        {
            throw CliFailure.Usage("--type is missing", "slipway jobs enqueue QUEUE --type TYPE PAYLOAD");
        }

        var (org, name) = run.Queue(run.Get(queue));
        if (many)
        {
            await using var input = source is null or "-" ? run.Environment.OpenIn() : File.OpenRead(source);
            return await ManyAsync(run, org, name, input, cancellationToken);
        }

        var given = source is null ? JobPayload.OfText(run.Get(payload) ?? "") : JobPayload.Of(await ReadAllAsync(run, source, cancellationToken));
        var added = await run.Client.EnqueueJobAsync(org, name, given.On(Template(run)), run.Get(durability), cancellationToken);
        run.Write(added, json => json.EnqueuedJob, one => one.Id.ToString(), one => run.Out.WriteLine(one.Id));
        switch (added.Outcome)
        {
            case "added":
                run.Done($"enqueued in {org}/{name}");
                if (run.Get(track))
                {
                    run.Next($"slipway jobs status {org}/{name} {added.Id} --wait 1m", "waits for its end");
                }

                return ExitCodes.Ok;
            case "duplicate":
                run.Done("there already: that is the job that holds the key");
                return ExitCodes.Ok;
            default:
                throw new CliFailure(ExitCodes.Conflict, added.Outcome, added.Outcome == "batchClosed" ? "the batch is closed, or not known" : "a job it was to wait for is dead, cancelled or not known");
        }
    }

    private async Task<int> ManyAsync(Invocation run, string org, string name, Stream input, CancellationToken cancellationToken)
    {
        var template = run.Get(ndjson) ? null : Template(run);
        var report = new EnqueueReport(0, 0, 0);
        var bulk = new BulkEnqueue(run, org, name, run.Get(durability), "line", answer =>
        {
            report = report.And(answer);
            if (run.Quiet && !run.Json)
            {
                foreach (var job in answer.Jobs)
                {
                    run.Out.WriteLine(job.Id);
                }
            }
        });
        await bulk.RunAsync(LinesOf(input, template, cancellationToken), cancellationToken);
        if (run.Json)
        {
            run.Out.WriteLine(JsonSerializer.Serialize(report, JobsJson.Indented.EnqueueReport));
        }

        run.Done($"{report.Words} to {org}/{name}");
        return report.Refused > 0 ? ExitCodes.Conflict : ExitCodes.Ok;
    }

    private static async IAsyncEnumerable<ReadOnlyMemory<byte>> LinesOf(
        Stream input, NewJob? template, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (var line in ByteLines.ReadAsync(input, BulkEnqueue.LongestLine, cancellationToken))
        {
            yield return template is null ? line : JsonSerializer.SerializeToUtf8Bytes(JobPayload.Of(line.ToArray()).On(template), ApiJson.Default.NewJob);
        }
    }

    private NewJob Template(Invocation run)
    {
        DateTimeOffset? moment = null;
        if (run.Get(at) is { } text)
        {
            moment = DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var parsed)
                ? parsed
                : throw CliFailure.Usage($"--at is a time such as 2027-01-31T08:00:00Z, not \"{text}\"");
        }

        if (moment is not null && run.Get(delay) is not null)
        {
            throw CliFailure.Usage("--at and --delay can't both be");
        }

        return new NewJob(
            run.Get(type)!,
            Id: run.Get(id) is { } given ? ShowJob.JobId(given) : null,
            Priority: run.Get(priority),
            DelayMs: (long?)run.Get(delay)?.TotalMilliseconds,
            At: moment,
            Unique: run.Get(unique),
            UniqueForMs: (long?)run.Get(uniqueFor)?.TotalMilliseconds,
            Cost: run.Get(cost),
            MaxAttempts: run.Get(attempts),
            TimeoutMs: (long?)run.Get(timeout)?.TotalMilliseconds,
            Track: run.Get(track) ? true : null,
            After: run.Get(after) is { Length: > 0 } before ? [.. before.Select(ShowJob.JobId)] : null);
    }

    private static async Task<byte[]> ReadAllAsync(Invocation run, string source, CancellationToken cancellationToken)
    {
        await using var input = source == "-" ? run.Environment.OpenIn() : File.OpenRead(source);
        using var bytes = new MemoryStream();
        var buffer = new byte[64 * 1024];
        while (await input.ReadAsync(buffer, cancellationToken) is > 0 and var read)
        {
            bytes.Write(buffer, 0, read);
            if (bytes.Length > BulkEnqueue.LongestLine)
            {
                throw CliFailure.Usage($"the payload has over {Figures.Bytes(BulkEnqueue.LongestLine)}: keep it elsewhere and enqueue where it is");
            }
        }

        return bytes.ToArray();
    }
}
