using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Working;

/// <param name="Shell">The command is for <c>sh -c</c>, and finds the payload in SLIPWAY_JOB_PAYLOAD.</param>
/// <param name="DeadExits">Exit codes after which another run is of no use.</param>
/// <param name="Grace">Between SIGTERM and SIGKILL.</param>
internal sealed record CommandOptions(string Text, bool Shell, IReadOnlySet<int> DeadExits, TimeSpan Grace);

/// <summary>
/// A process per job: the payload on its stdin, facts in SLIPWAY_JOB_*, in a process group of its own so that all it starts can be
/// stopped together, and so that a Ctrl-C for the worker is not one for its jobs.
/// </summary>
internal sealed class CommandRunner : IJobRunner
{
    /// <summary>EX_TEMPFAIL of sysexits.h: "try again later".</summary>
    public const int TryAgain = 75;

    /// <summary>EX_DATAERR of sysexits.h: the input is wrong, and will be.</summary>
    public const int DataError = 65;

    /// <summary>What is kept of stderr: more than the server takes, for characters of several bytes.</summary>
    private const int StderrTail = 8 * 1024;

    /// <summary>A process that is gone may have left its pipes to another in the background: those are not waited for.</summary>
    private static readonly TimeSpan PipesAfterEnd = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromMinutes(10);

    private readonly CommandOptions options;
    private readonly CommandLine? command;
    private readonly string[] prefix;
    private readonly WorkReport report;
    private readonly TimeProvider time;
    private readonly CancellationToken now;
    private readonly Launcher launcher = new();

    /// <param name="now">Processes that are stopped after this get no grace.</param>
    public CommandRunner(CommandOptions options, CliEnvironment environment, WorkReport report, CancellationToken now)
    {
        (this.options, this.report, this.now, time) = (options, report, now, environment.Time);
        command = options.Shell ? null : CommandLine.Parse(options.Text);
        if (options.Shell && options.Text.Contains("{}", StringComparison.Ordinal))
        {
            throw CliFailure.Usage("a payload is never put into a shell command: it could be one itself", "slipway jobs work QUEUE --shell --exec 'echo \"$SLIPWAY_JOB_PAYLOAD\"'", "slipway jobs work QUEUE --exec 'echo {}'   (without --shell)");
        }

        var program = command?.Program ?? "sh";
        var found = program.Contains('/', StringComparison.Ordinal) ? (File.Exists(program) ? Path.GetFullPath(program) : null) : environment.FindProgram(program);
        if (found is null)
        {
            throw new CliFailure(ExitCodes.Usage, "no_program", $"there is no program {program}") { Cause = "it is neither a file nor in PATH", Try = ["slipway jobs work QUEUE --shell --exec '…'   (for what only a shell knows)"] };
        }

        var setsid = environment.FindProgram("setsid")
            ?? throw new CliFailure(ExitCodes.Failed, "no_setsid", "setsid is not installed") { Cause = "jobs run in process groups of their own, so that all of one can be stopped", Try = ["apt-get install util-linux"] };
        // When this worker is killed its jobs run again elsewhere: then they had better not go on here.
        string[] dieWithUs = environment.FindProgram("setpriv") is { } setpriv ? [setpriv, "--pdeathsig", "TERM", "--"] : [];
        prefix = options.Shell ? [setsid, .. dieWithUs, found, "-c", options.Text] : [setsid, .. dieWithUs, found];
        About = "exec " + options.Text;
    }

    public string About { get; }

    public async Task<JobOutcome> RunAsync(RunningJob job, CancellationToken cancellationToken)
    {
        Process process;
        try
        {
            process = await launcher.StartAsync(StartInfo(job));
        }
        catch (UnfitPayloadException unfit)
        {
            return JobOutcome.Dead("payload", unfit.Message);
        }
        catch (Win32Exception failure)
        {
            // No memory, no processes left: of the machine, not of the job.
            return JobOutcome.Failed("not started", failure.Message);
        }

        using (process)
        {
            using var pipes = new CancellationTokenSource();
            var stdout = new OutputTail(job.Job.Tracked ? JobOutcome.MostResult : 0, keepEnd: false);
            var stderr = new OutputTail(StderrTail, keepEnd: true);
            var all = Task.WhenAll(
                FeedAsync(process, job.Payload, pipes.Token),
                stdout.CopyAsync(process.StandardOutput.BaseStream, line => report.Output(job, line, isError: false), pipes.Token),
                stderr.CopyAsync(process.StandardError.BaseStream, line => report.Output(job, line, isError: true), pipes.Token));
            try
            {
                await process.WaitForExitAsync(cancellationToken);
            }
            catch (OperationCanceledException)
            {
                await StopAsync(process);
                throw;
            }
            finally
            {
                pipes.CancelAfter(PipesAfterEnd);
                await all;
            }

            return Judge(job, process.ExitCode, stdout, stderr);
        }
    }

    public void Dispose() => launcher.Dispose();

    private ProcessStartInfo StartInfo(RunningJob job)
    {
        var start = new ProcessStartInfo(prefix[0], [.. prefix.Skip(1), .. command?.ArgumentsFor(job) ?? []])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        var leased = job.Job;
        Set("ID", leased.Id.ToString());
        Set("TYPE", leased.Type);
        Set("QUEUE", $"{job.Org}/{job.Queue}");
        Set("ATTEMPT", leased.Attempt.ToString(CultureInfo.InvariantCulture));
        Set("TOKEN", job.Token.ToString(CultureInfo.InvariantCulture));
        Set("PRIORITY", leased.Priority.ToString(CultureInfo.InvariantCulture));
        Set("ENQUEUED_AT", leased.EnqueuedAt.UtcDateTime.ToString("O", CultureInfo.InvariantCulture));
        Set("UNIQUE", leased.Unique);
        start.Environment["TRACEPARENT"] = leased.TraceParent ?? "";
        if (options.Shell)
        {
            Set("PAYLOAD", job.Payload.AsSpan().Contains((byte)0) ? throw new UnfitPayloadException("it holds a zero byte")
                : job.Payload.Length > CommandLine.LongestArgument - 20 ? throw new UnfitPayloadException("it is too long for a variable")
                : JobOutcome.TextOf(job.Payload));
        }

        return start;

        void Set(string name, string? value) => start.Environment["SLIPWAY_JOB_" + name] = value ?? "";
    }

    private static async Task FeedAsync(Process process, byte[] payload, CancellationToken cancellationToken)
    {
        try
        {
            await process.StandardInput.BaseStream.WriteAsync(payload, cancellationToken);
            process.StandardInput.Close();
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException)
        {
            // It does not read its stdin: its right.
        }
    }

    private async Task StopAsync(Process process)
    {
        ProcessGroup.Signal(process.Id, ProcessGroup.Terminate);
        using var grace = new CancellationTokenSource(options.Grace, time);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(grace.Token, now);
        try
        {
            await process.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            // Had its time.
        }

        // Also when the first process ended by itself: those that it started may be there still.
        ProcessGroup.Signal(process.Id, ProcessGroup.Kill);
        await process.WaitForExitAsync(CancellationToken.None);
    }

    private JobOutcome Judge(RunningJob job, int exit, OutputTail stdout, OutputTail stderr)
    {
        if (exit == 0)
        {
            return stdout.IsCut
                ? JobOutcome.Completed("\"(the output has over 64 KiB)\""u8.ToArray())
                : JobOutcome.Completed(stdout.Bytes);
        }

        var reason = string.Create(CultureInfo.InvariantCulture, $"exit {exit}") + exit switch { 137 => " (SIGKILL)", 139 => " (SIGSEGV)", 143 => " (SIGTERM)", 134 => " (SIGABRT)", _ => "" };
        var error = JobOutcome.TextOf(stderr.Bytes) is { Length: > 0 } text ? text : reason;
        return options.DeadExits.Contains(exit) ? JobOutcome.Dead(reason, error)
            : exit == TryAgain ? JobOutcome.Retry(reason, error, Pause(job.Job.Attempt))
            : JobOutcome.Failed(reason, error);
    }

    /// <summary>Doubling, of which a random half to whole: what failed together must not come back together.</summary>
    private static TimeSpan Pause(int attempt)
    {
        var doubled = FirstRetry * Math.Pow(2, Math.Clamp(attempt - 1, 0, 20));
        return (doubled > LongestRetry ? LongestRetry : doubled) * (0.5 + (Random.Shared.NextDouble() / 2));
    }
}
