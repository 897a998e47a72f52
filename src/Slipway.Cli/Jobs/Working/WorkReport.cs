using System.Globalization;
using System.Text.Json;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Working;

/// <summary>One line of <c>slipway jobs work --json</c>.</summary>
/// <param name="Event">
/// <c>working</c>, <c>started</c>, <c>output</c>, <c>completed</c>, <c>failed</c>, <c>retry</c>, <c>dead</c>, <c>cancelled</c>, <c>released</c>, <c>lost</c> (the lease;
/// others have the job), <c>late</c> (an end came after the lease was lost), <c>disconnected</c>, <c>connected</c>, <c>stopping</c>, <c>stopped</c>.
/// </param>
internal sealed record WorkEvent(
    DateTimeOffset At,
    string Event,
    Guid? Job = null,
    string? Type = null,
    int? Attempt = null,
    long? Token = null,
    double? Ms = null,
    string? Reason = null,
    string? Error = null,
    string? Stream = null,
    string? Line = null,
    long? RetryMs = null,
    long? Completed = null,
    long? Failed = null);

/// <summary>
/// What a worker says while it works: a line per failure and a line that counts (on a terminal in place, elsewhere each ten seconds); with
/// <c>--verbose</c> a line per job and what it prints; with <c>--json</c> an event a line.
/// </summary>
internal sealed class WorkReport(Invocation run, bool verbose) : IDisposable
{
    private static readonly TimeSpan Redraw = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan PlainEvery = TimeSpan.FromSeconds(10);

    private readonly Lock gate = new();
    private readonly long begun = run.Environment.Time.GetTimestamp();
    private readonly bool live = run.Environment.ErrorIsTerminal && !run.Json && !run.Quiet && run.Environment.Variable("TERM") != "dumb";
    private TaskCompletionSource nextEnd = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ITimer? timer;
    private long completed;
    private long failed;
    private long others;
    private int atWork;
    private bool connected = true;
    private bool stopping;
    private bool drawn;
    private (TimeSpan At, long Ended) sample;
    private double perSecond;

    public long Completed => Interlocked.Read(ref completed);

    public long Failed => Interlocked.Read(ref failed);

    /// <summary>Completes with the next end of a job.</summary>
    public Task NextEnd => Volatile.Read(ref nextEnd).Task;

    public string About(string what, int concurrency)
    {
        // As much as the server takes.
        const int Most = 500;
        var text = string.Create(
            CultureInfo.InvariantCulture,
            $"{Environment.MachineName} pid {Environment.ProcessId}, slipway {CliVersion.Text}, {concurrency} at once, {Completed} completed, {Failed} failed, {what}");
        return text.Length <= Most ? text : text[..Most];
    }

    public void Working(string queue, string what)
    {
        Emit(new WorkEvent(Now, "working"));
        if (!run.Json)
        {
            run.Terminal.Say(run.Terminal.ErrorStyle.Dim($"working on {queue}: {Printable.Text(what)}; Ctrl-C ends it when what runs is done, twice at once"));
        }

        if (!run.Quiet && !run.Json)
        {
            timer = run.Environment.Time.CreateTimer(_ => Count(), null, live ? Redraw : PlainEvery, live ? Redraw : PlainEvery);
        }
    }

    public void Started(RunningJob job)
    {
        Interlocked.Increment(ref atWork);
        Emit(Of(job, "started"));
    }

    /// <param name="outcome">Null: the lease was lost.</param>
    public void Ended(RunningJob job, JobOutcome? outcome, TimeSpan took)
    {
        Interlocked.Decrement(ref atWork);
        var kind = outcome?.Kind ?? "lost";
        Interlocked.Increment(ref kind == "completed" ? ref completed : ref kind is "failed" or "retry" or "dead" ? ref failed : ref others);
        Emit(Of(job, kind) with { Ms = Math.Round(took.TotalMilliseconds, 2), Reason = Filled(outcome?.Reason), Error = Filled(outcome?.Error), RetryMs = (long?)outcome?.RetryAfter?.TotalMilliseconds });
        if (!run.Json && (verbose || kind != "completed"))
        {
            var style = run.Terminal.ErrorStyle;
            var mark = kind switch { "completed" => style.Green("✓"), "cancelled" or "released" => style.Yellow("–"), _ => style.Red("✗") };
            var word = kind switch { "retry" => $"again in {Figures.Duration(outcome!.RetryAfter ?? TimeSpan.Zero)}", "lost" => "lease lost: others have it", _ => kind };
            var why = outcome?.Reason is { Length: > 0 } reason ? $" {style.Bold(Printable.Text(reason))}" : "";
            var line = $"{job.Job.Id} {Printable.Text(job.Job.Type)} run {job.Job.Attempt}  {word}{(outcome?.Reason is { Length: > 0 } plain ? " " + Printable.Text(plain) : "")}  {Figures.Duration(took)}";
            var error = outcome?.Error is { Length: > 0 } text && text != outcome.Reason ? Printable.Text(LastLine(text.TrimEnd())) : "";
            // On a terminal a failure is a line; all of the error is with the dead letter, and in --json.
            var room = live ? Math.Max(20, run.Environment.Width() - line.Length - 5) : int.MaxValue;
            error = error.Length <= room ? error : string.Concat(error.AsSpan(0, room - 1), "…");
            Line($"{mark} {style.Dim(job.Job.Id.ToString())} {Printable.Text(job.Job.Type)} run {job.Job.Attempt}  {word}{why}  {Figures.Duration(took)}{(error.Length > 0 ? "  " + style.Dim(error) : "")}");
        }

        Interlocked.Exchange(ref nextEnd, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();
    }

    public void Output(RunningJob job, string line, bool isError)
    {
        if (!verbose)
        {
            return;
        }

        Emit(Of(job, "output") with { Stream = isError ? "stderr" : "stdout", Line = line });
        if (!run.Json)
        {
            // The end of the id tells jobs apart; its beginning is the time.
            Line($"  {run.Terminal.ErrorStyle.Dim(job.Job.Id.ToString()[^8..] + " │")} {Printable.Text(line)}");
        }
    }

    public void Connected()
    {
        if (!connected)
        {
            connected = true;
            Emit(new WorkEvent(Now, "connected"));
            Say("connected again");
        }
    }

    public void Disconnected(string why, TimeSpan pause)
    {
        Emit(new WorkEvent(Now, "disconnected", Error: why, RetryMs: (long)pause.TotalMilliseconds));
        if (connected)
        {
            connected = false;
            Say($"{Printable.Text(why)}; trying again until it works");
        }
    }

    public void Late(string block)
    {
        Emit(new WorkEvent(Now, "late", Error: block));
        Say("the server refused ends of jobs whose lease was lost: others do or did them again");
    }

    public void NotTold(int jobs, string why)
    {
        Emit(new WorkEvent(Now, "late", Error: why));
        Say($"{Figures.Count(jobs, "job")} ended and the server could not be told ({Printable.Text(why)}): they will be done again");
    }

    public void Stopping(bool atOnce)
    {
        stopping = true;
        Emit(new WorkEvent(Now, "stopping"));
        Say(atOnce ? "stopping now; what runs is given back" : Volatile.Read(ref atWork) <= 0 ? "stopping" : $"stopping when {Figures.Count(atWork, "running job")} {(atWork == 1 ? "has" : "have")} ended; again: at once");
    }

    public void Stopped()
    {
        timer?.Dispose();
        lock (gate)
        {
            Erase();
        }

        Emit(new WorkEvent(Now, "stopped", Completed: Completed, Failed: Failed));
        run.Done($"{Figures.Count(Completed)} completed, {Figures.Count(Failed)} failed" + (others > 0 ? $", {Figures.Count(others)} given back, cancelled or lost" : ""));
    }

    public void Dispose() => timer?.Dispose();

    private DateTimeOffset Now => run.Now;

    private WorkEvent Of(RunningJob job, string kind) => new(Now, kind, job.Job.Id, job.Job.Type, job.Job.Attempt, job.Token);

    private void Emit(WorkEvent one)
    {
        if (run.Json)
        {
            lock (gate)
            {
                run.Out.WriteLine(JsonSerializer.Serialize(one, JobsJson.Lines.WorkEvent));
                run.Out.Flush();
            }
        }
    }

    private void Say(string text)
    {
        if (!run.Json)
        {
            Line($"{run.Terminal.ErrorStyle.Yellow("!")} {text}");
        }
    }

    private void Line(string text)
    {
        if (!run.Quiet)
        {
            lock (gate)
            {
                Erase();
                run.Environment.Error.WriteLine(text);
            }
        }
    }

    private void Count()
    {
        lock (gate)
        {
            var now = run.Environment.Time.GetElapsedTime(begun);
            var ended = Completed + Failed + others;
            if (now - sample.At >= TimeSpan.FromSeconds(2))
            {
                perSecond = (ended - sample.Ended) / (now - sample.At).TotalSeconds;
                sample = (now, ended);
            }

            var style = run.Terminal.ErrorStyle;
            var text = string.Create(
                CultureInfo.InvariantCulture,
                $"{Figures.Count(Completed)} completed · {(Failed > 0 ? style.Red(Figures.Count(Failed) + " failed") : "0 failed")} · {atWork} running · {perSecond:#,0.#}/s{(connected ? "" : style.Yellow(" · no connection"))}{(stopping ? style.Yellow(" · stopping") : "")}");
            if (live)
            {
                run.Environment.Error.Write($"\r{text}\e[K");
                drawn = true;
            }
            else
            {
                run.Environment.Error.WriteLine(text);
            }
        }
    }

    private void Erase()
    {
        if (drawn)
        {
            run.Environment.Error.Write("\r\e[K");
            drawn = false;
        }
    }

    private static string? Filled(string? text) => text is { Length: > 0 } ? text : null;

    private static string LastLine(string text) => text[(text.TrimEnd().LastIndexOf('\n') + 1)..];
}
