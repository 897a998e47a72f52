using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Slipway.Api.Client;
using Slipway.Cli.Contexts;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Working;

/// <summary><c>slipway jobs work QUEUE</c>: a worker without a program, for commands and HTTP endpoints.</summary>
internal sealed partial class WorkOnJobs : JobVerb
{
    private const string SecretVariable = "SLIPWAY_WEBHOOK_SECRET";

    private static readonly TimeSpan UsualLease = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan UsualGrace = TimeSpan.FromSeconds(10);

    /// <summary>A receiver that takes longer should answer 202 and go on by itself.</summary>
    private static readonly TimeSpan UsualHttpTimeout = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan LongestCall = TimeSpan.FromSeconds(10);

    private readonly Argument<string> queue;
    private readonly Option<string?> exec;
    private readonly Option<bool> shell;
    private readonly Option<string?> http;
    private readonly Option<string?> secretFile;
    private readonly Option<bool> unsigned;
    private readonly Option<int?> concurrency;
    private readonly Option<TimeSpan?> lease;
    private readonly Option<TimeSpan?> timeout;
    private readonly Option<TimeSpan?> grace;
    private readonly Option<TimeSpan?> drainTimeout;
    private readonly Option<string?> deadExit;
    private readonly Option<string?> name;
    private readonly Option<bool> once;
    private readonly Option<bool> drain;
    private readonly Option<bool> verbose;

    public WorkOnJobs()
        : base("work", "Run a command, or send a request, for each job")
    {
        queue = QueueArgument();
        exec = Text("--exec", "COMMAND", "Run this, without a shell; {} becomes the payload as one argument, {.name} a field of it");
        shell = Flag("--shell", "Give --exec to sh -c; the payload is in $SLIPWAY_JOB_PAYLOAD and on stdin");
        http = Text("--http", "URL", "POST each payload there, signed after Standard Webhooks");
        secretFile = Text("--secret-file", "FILE", $"File with the whsec_… secret that signs, or several, one a line [env: {SecretVariable}]");
        unsigned = Flag("--unsigned", "Send requests without a signature");
        concurrency = Number("--concurrency", "N", "Jobs at once; 1 unless given", least: 1, most: 1000);
        lease = Duration("--lease", "How long the server waits for a sign of life before others get the jobs; extended while they run; 30s unless given", TimeSpan.FromSeconds(1), TimeSpan.FromHours(1));
        timeout = Duration("--timeout", "What a run may take, of jobs that don't say themselves; no limit for --exec, 30s for --http unless given", TimeSpan.FromMilliseconds(1), TimeSpan.FromDays(7));
        grace = Duration("--grace", "Time between SIGTERM and SIGKILL for a command that is too long, cancelled or lost; 10s unless given", TimeSpan.Zero, TimeSpan.FromMinutes(10));
        drainTimeout = Duration("--drain-timeout", "At a stop, give back what has not ended after so long; no limit unless given", TimeSpan.Zero, TimeSpan.FromDays(1));
        deadExit = Text("--dead-exit", "N,…", string.Create(CultureInfo.InvariantCulture, $"Exit codes that make a job a dead letter at once; {CommandRunner.DataError} unless given"));
        name = Text("--name", "NAME", "Of this worker in slipway jobs workers; host and pid unless given");
        once = Flag("--once", "Run one job, or none if there is none, and end; exit code 1 when it failed");
        drain = Flag("--drain", "End when nothing is ready any more");
        verbose = Flag("--verbose", "A line for each job, and what commands print", ["-v"]);
    }

    public override string Remarks =>
        "Commands: the payload is on stdin; SLIPWAY_JOB_ID, _TYPE, _QUEUE, _ATTEMPT, _TOKEN (fencing), _PRIORITY, _ENQUEUED_AT, _UNIQUE and TRACEPARENT are in the environment.\n"
        + "Exit 0: done (stdout is the result of a tracked job). 75: again later. 65, or --dead-exit: dead letter. Else: again by the queue's policy; the end of stderr is kept as the error.\n"
        + "HTTP: 2xx is done, 410 a dead letter, 429 and 503 with Retry-After again then, everything else failed. Redirects are not followed.\n"
        + "A job runs again when its worker dies: what it does must bear being done twice. Ctrl-C or SIGTERM ends the worker when what runs is done; a second one gives it back at once.";

    public override IReadOnlyList<string> Examples =>
    [
        "jobs work acme/mail --exec 'send-mail --to {.to}' --concurrency 8",
        "jobs work acme/video --exec './encode.sh' --timeout 2h --lease 1m --verbose",
        "jobs work acme/mail --shell --exec 'jq -r .to | xargs -n1 notify'",
        "jobs work acme/orders --http https://shop.example/jobs --secret-file whsec.txt --concurrency 20",
        "jobs work acme/import --exec 'import {.path}' --drain --json",
    ];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        if (run.Get(exec) is null == run.Get(http) is null)
        {
            throw CliFailure.Usage(run.Get(exec) is null ? "--exec COMMAND or --http URL is missing" : "--exec and --http can't both be", "slipway jobs work QUEUE --exec 'echo {}'");
        }

        if (run.Get(once) && run.Get(drain))
        {
            throw CliFailure.Usage("--once and --drain can't both be");
        }

        var (org, queueName) = run.Queue(run.Get(queue));
        // The first signal has cancelled the token; the second is for what runs.
        using var stopNow = new CancellationTokenSource();
        var signals = 0;
        void Signalled(PosixSignalContext signal)
        {
            if (Interlocked.Increment(ref signals) == 2)
            {
                signal.Cancel = true;
                stopNow.Cancel();
            }
        }

        using var onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Signalled);
        using var onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Signalled);
        using var report = new WorkReport(run, run.Get(verbose));
        using var runner = Runner(run, report, stopNow.Token);
        using var client = Client(run.Connection, run, run.Get(lease) ?? UsualLease);
        var options = new WorkOptions(
            org,
            queueName,
            WorkerName(run.Get(name)),
            run.Get(concurrency) ?? 1,
            run.Get(lease) ?? UsualLease,
            run.Get(timeout) ?? (run.Get(http) is null ? null : UsualHttpTimeout),
            run.Get(once) ? WorkUntil.OneJob : run.Get(drain) ? WorkUntil.Empty : WorkUntil.Stopped);
        using var loop = new WorkLoop(options, client, runner, report, run.Environment.Time);
        using var first = cancellationToken.Register(() =>
        {
            report.Stopping(atOnce: false);
            if (run.Get(drainTimeout) is { } patience)
            {
                stopNow.CancelAfter(patience);
            }
        });
        using var second = stopNow.Token.Register(() => report.Stopping(atOnce: true));
        report.Working($"{org}/{queueName}", runner.About);
        try
        {
            await loop.RunAsync(cancellationToken, stopNow.Token);
        }
        finally
        {
            report.Stopped();
        }

        return run.Get(once) && report.Failed > 0 ? ExitCodes.Failed : ExitCodes.Ok;
    }

    private IJobRunner Runner(Invocation run, WorkReport report, CancellationToken now)
    {
        if (run.Get(exec) is { } command)
        {
            if (run.Get(secretFile) is not null || run.Get(unsigned))
            {
                throw CliFailure.Usage("--secret-file and --unsigned are for --http");
            }

            return new CommandRunner(new CommandOptions(command, run.Get(shell), DeadExits(run.Get(deadExit)), run.Get(grace) ?? UsualGrace), run.Environment, report, now);
        }

        if (run.Get(shell) || run.Get(deadExit) is not null || run.Get(grace) is not null)
        {
            throw CliFailure.Usage("--shell, --dead-exit and --grace are for --exec");
        }

        return new HttpRunner(HttpRunner.ParseUrl(run.Get(http)!), Signer(run), run.Get(concurrency) ?? 1, run.Environment.Time);
    }

    private StandardWebhook? Signer(Invocation run)
    {
        var (secrets, from) = run.Get(secretFile) is { } file ? (File.ReadAllText(file), file) : (run.Environment.Variable(SecretVariable), SecretVariable);
        if (run.Get(unsigned))
        {
            return run.Get(secretFile) is null ? null : throw CliFailure.Usage("--secret-file and --unsigned can't both be");
        }

        return secrets is not null
            ? StandardWebhook.Parse(secrets, from)
            : throw CliFailure.Usage(
                "nothing to sign the requests with", "(echo -n whsec_; openssl rand -base64 32) > whsec.txt", "slipway jobs work QUEUE --http URL --secret-file whsec.txt", "slipway jobs work QUEUE --http URL --unsigned   (the receiver can't tell who sent it)");
    }

    // Its own: a worker is patient for ever and says so in its own words, once; and an answer that comes after the lease is of no use.
    private static SlipwayClient Client(Connection connection, Invocation run, TimeSpan lease) => new(new SlipwayClientOptions
    {
        Url = connection.Url,
        Token = connection.Token,
        UserAgent = $"slipway-cli/{CliVersion.Text}",
        CallTimeout = lease < LongestCall ? lease : LongestCall,
        Time = run.Environment.Time,
    });

    private static HashSet<int> DeadExits(string? text)
    {
        var codes = (text ?? CommandRunner.DataError.ToString(CultureInfo.InvariantCulture))
            .Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(word => int.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out var code) && code is > 0 and < 256 ? code : -1).ToHashSet();
        return codes.Contains(-1) ? throw CliFailure.Usage($"--dead-exit is exit codes from 1 to 255, not \"{text}\"", "slipway jobs work QUEUE --dead-exit 65,66") : codes;
    }

    private static string WorkerName(string? given)
    {
        var text = given ?? string.Create(CultureInfo.InvariantCulture, $"{NotInNames().Replace(Environment.MachineName, "-")}-{Environment.ProcessId}-{Random.Shared.Next(0x10000):x4}");
        text = given is null && text.Length > 64 ? text[^64..] : text;
        return text.Length is > 0 and <= 64 && !NotInNames().IsMatch(text)
            ? text
            : throw CliFailure.Usage($"--name is 1 to 64 characters of A-Z a-z 0-9 . _ : -, not \"{given}\"");
    }

    [GeneratedRegex("[^A-Za-z0-9._:-]")]
    private static partial Regex NotInNames();
}
