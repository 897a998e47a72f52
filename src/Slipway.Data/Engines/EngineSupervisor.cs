using System.Diagnostics;
using Microsoft.Extensions.Logging;

namespace Slipway.Data;

/// <summary>
/// Keeps one engine running: adopts the process it finds, else starts one; starts it again when it dies. One loop owns the process;
/// <see cref="StopAsync"/> ends the loop first and then the engine.
/// </summary>
internal sealed partial class EngineSupervisor(Engine engine, TimeProvider time, ILogger logger)
{
    /// <summary>What flock(1) is told to exit with when somebody has the lock; outside the codes both engines use.</summary>
    private const int LockIsHeld = 75;

    /// <summary>Retries of a first start that ends at once: enough for a predecessor's last breath, few enough to show a lasting fault soon.</summary>
    private const int FirstStartAttempts = 3;

    /// <summary>Recovery after a crash replays at most max_wal_size (512 MB), which takes seconds; five minutes is a broken disk.</summary>
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(5);

    /// <summary>A fast shutdown writes one checkpoint of at most shared_buffers (64 MB).</summary>
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan ProbeLimit = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan PollWhileStarting = TimeSpan.FromMilliseconds(3);
    private static readonly TimeSpan PollWhileRunning = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan FirstBackoff = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestBackoff = TimeSpan.FromSeconds(10);

    /// <summary>Having run this long, the next death starts at no delay again.</summary>
    private static readonly TimeSpan Settled = TimeSpan.FromMinutes(1);

    /// <summary>One of the log and one older one are kept.</summary>
    private const long LongestLog = 16 * 1024 * 1024;

    private readonly TaskCompletionSource firstReady = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Cancelled when the loop must end; says nothing about the engine.</summary>
    private readonly CancellationTokenSource stopping = new();

    private Task loop = Task.CompletedTask;
    private Process? child;
    private volatile EngineStatus status = new(engine.Name, 0, Ready: false, Restarts: 0);

    public EngineStatus Status => status;

    /// <summary>Completes when the engine can be used.</summary>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        loop = Task.Run(RunAsync, CancellationToken.None);
        return firstReady.Task.WaitAsync(cancellationToken);
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await AbandonAsync();
        if (status.ProcessId == 0 || !IsOurs(status.ProcessId))
        {
            return;
        }

        var process = status.ProcessId;
        using var limit = new CancellationTokenSource(StopLimit, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        try
        {
            await engine.AskToStopAsync(process, both.Token);
            await DeathAsync(process, PollWhileStarting, both.Token);
            Log.Stopped(logger, engine.Name, process);
        }
        catch (OperationCanceledException)
        {
            Log.DidNotStop(logger, engine.Name, process, engine.LastResort);
            ProcessTable.Signal(process, engine.LastResort);
            using var last = new CancellationTokenSource(StopLimit, time);
            await DeathAsync(process, PollWhileStarting, last.Token);
        }

        status = status with { ProcessId = 0 };
    }

    /// <summary>Ends the supervision and leaves the engine as it is: what a killed server does.</summary>
    public async Task AbandonAsync()
    {
        await stopping.CancelAsync();
        await loop;
        status = status with { Ready = false };
    }

    /// <summary>The server's environment may hold secrets and settings (PGHOST, …) that are none of the engine's business.</summary>
    public static void CleanEnvironment(ProcessStartInfo start)
    {
        start.Environment.Clear();
        start.Environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        start.Environment["LC_ALL"] = "C.UTF-8";
    }

    private async Task RunAsync()
    {
        var stopping = this.stopping.Token;
        var failures = 0;
        try
        {
            while (true)
            {
                var began = time.GetTimestamp();
                Outcome outcome;
                try
                {
                    outcome = await RunOnceAsync(stopping);
                }
                // Once it has run, a full disk or a package being upgraded is a passing state, not the end.
                catch (Exception e) when (firstReady.Task.IsCompletedSuccessfully && !stopping.IsCancellationRequested)
                {
                    Log.Broken(logger, engine.Name, e);
                    outcome = Outcome.FailedToStart;
                }

                failures = time.GetElapsedTime(began) > Settled ? 0 : failures + 1;
                if (outcome is Outcome.FailedToStart && !firstReady.Task.IsCompleted && failures >= FirstStartAttempts)
                {
                    firstReady.TrySetException(new EngineException($"{engine.Name} does not start; the end of {engine.LogFile}:\n{EndOfLog()}"));
                    return;
                }

                await Task.Delay(outcome is Outcome.LockHeld ? FirstBackoff : Backoff(failures), time, stopping);
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            firstReady.TrySetCanceled(stopping);
        }
        catch (Exception e)
        {
            // Not installed, wrong version, unwritable folder: trying again cannot help the first start.
            Log.Broken(logger, engine.Name, e);
            firstReady.TrySetException(e);
        }
    }

    /// <summary>From adoption or start to death.</summary>
    private async Task<Outcome> RunOnceAsync(CancellationToken stopping)
    {
        var process = engine.FindRunning();
        if (process is null)
        {
            await engine.PrepareAsync(stopping);
            process = Spawn();
        }
        else
        {
            Log.Adopted(logger, engine.Name, process.Value);
        }

        status = status with { ProcessId = process.Value };
        if (!await ReadyAsync(process.Value, stopping))
        {
            if (child is { HasExited: true, ExitCode: LockIsHeld })
            {
                return Outcome.LockHeld;
            }

            Log.FailedToStart(logger, engine.Name, EndOfLog());
            return Outcome.FailedToStart;
        }

        status = status with { Ready = true };
        firstReady.TrySetResult();
        await DeathAsync(process.Value, PollWhileRunning, stopping);
        status = status with { Ready = false, ProcessId = 0, Restarts = status.Restarts + 1 };
        Log.Died(logger, engine.Name, process.Value, EndOfLog());
        return Outcome.Died;
    }

    private int Spawn()
    {
        if (!File.Exists(engine.LogFile))
        {
            File.OpenHandle(engine.LogFile, FileMode.CreateNew, FileAccess.Write).Dispose();
            File.SetUnixFileMode(engine.LogFile, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }

        // Its own session and no pipe to us: it must outlive a killed server and not hear the terminal's Ctrl-C. flock keeps the open
        // lock file through exec, so the process number stays the same from sh to the engine. The lock and the log are opened before
        // setpriv, so they may belong to root.
        var start = new ProcessStartInfo("/bin/sh") { WorkingDirectory = "/" };
        CleanEnvironment(start);
        string[] words =
        [
            "-c", "log=$1; shift; exec \"$@\" </dev/null >>\"$log\" 2>&1", "sh", engine.LogFile,
            "setsid", "flock", "--nonblock", "--no-fork", "--conflict-exit-code", LockIsHeld.ToString(System.Globalization.CultureInfo.InvariantCulture), engine.LockFile,
            .. engine.Folders.Account.CommandPrefix, .. engine.Command(),
        ];
        foreach (var word in words)
        {
            start.ArgumentList.Add(word);
        }

        child?.Dispose();
        child = Process.Start(start)!;
        Log.Started(logger, engine.Name, child.Id);
        return child.Id;
    }

    /// <summary>False when it died first.</summary>
    private async Task<bool> ReadyAsync(int process, CancellationToken stopping)
    {
        var began = time.GetTimestamp();
        using var poll = new PeriodicTimer(PollWhileStarting, time);
        do
        {
            using var limit = new CancellationTokenSource(ProbeLimit, time);
            using var both = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, stopping);
            try
            {
                // It must be this process that answers: one that found the lock held may still be on its way out beside the holder.
                if (await engine.AnswersAsync(both.Token) && engine.FindRunning() == process)
                {
                    return true;
                }
            }
            catch (OperationCanceledException) when (!stopping.IsCancellationRequested)
            {
                Log.Slow(logger, engine.Name, process);
            }
            catch (Npgsql.NpgsqlException e)
            {
                Log.Broken(logger, engine.Name, e);
            }

            if (time.GetElapsedTime(began) > StartLimit && !firstReady.Task.IsCompleted)
            {
                throw new EngineException($"{engine.Name} (process {process}) runs but does not answer after {StartLimit.TotalMinutes:0} minutes; the end of {engine.LogFile}:\n{EndOfLog()}");
            }

            await poll.WaitForNextTickAsync(stopping);
        }
        while (IsRunning(process));

        return false;
    }

    private async Task DeathAsync(int process, TimeSpan pollEvery, CancellationToken cancellationToken)
    {
        using var poll = new PeriodicTimer(pollEvery, time);
        for (var tick = 0; IsRunning(process); tick++)
        {
            // Every 51 seconds or so at the running rate.
            if ((tick & 511) == 511)
            {
                ShortenLog();
            }

            await poll.WaitForNextTickAsync(cancellationToken);
        }
    }

    private bool IsRunning(int process) => child?.Id == process ? !child.HasExited && ProcessTable.IsAlive(process) : ProcessTable.IsAlive(process);

    /// <summary>Numbers are reused: an adopted process must still hold the lock before it is sent a signal.</summary>
    private bool IsOurs(int process) => IsRunning(process) && (child?.Id == process || ProcessTable.HasOpen(process, engine.LockFile));

    private void ShortenLog()
    {
        try
        {
            if (new FileInfo(engine.LogFile).Length > LongestLog)
            {
                // Copied and cut, because the engine keeps the file open; it appends, so it goes on at the new end.
                File.Copy(engine.LogFile, engine.LogFile + ".1", overwrite: true);
                using var log = File.OpenHandle(engine.LogFile, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
                RandomAccess.SetLength(log, 0);
            }
        }
        catch (IOException e)
        {
            Log.LogNotShortened(logger, engine.LogFile, e);
        }
    }

    private string EndOfLog()
    {
        try
        {
            return string.Join('\n', File.ReadLines(engine.LogFile).TakeLast(8));
        }
        catch (IOException)
        {
            return "(no log)";
        }
    }

    private static TimeSpan Backoff(int failures) => failures == 0
        ? TimeSpan.Zero
        : TimeSpan.FromTicks(Math.Min(LongestBackoff.Ticks, FirstBackoff.Ticks << Math.Min(failures - 1, 20)));

    private enum Outcome
    {
        Died,
        FailedToStart,
        LockHeld,
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "started {Engine} (process {ProcessId})")]
        public static partial void Started(ILogger logger, string engine, int processId);

        [LoggerMessage(2, LogLevel.Information, "found {Engine} running (process {ProcessId}) and took it over")]
        public static partial void Adopted(ILogger logger, string engine, int processId);

        [LoggerMessage(3, LogLevel.Error, "{Engine} (process {ProcessId}) died and is started again; the end of its log:\n{EndOfLog}")]
        public static partial void Died(ILogger logger, string engine, int processId, string endOfLog);

        [LoggerMessage(4, LogLevel.Error, "{Engine} ended while starting; the end of its log:\n{EndOfLog}")]
        public static partial void FailedToStart(ILogger logger, string engine, string endOfLog);

        [LoggerMessage(5, LogLevel.Error, "{Engine} cannot be run")]
        public static partial void Broken(ILogger logger, string engine, Exception exception);

        [LoggerMessage(6, LogLevel.Warning, "{Engine} (process {ProcessId}) is running but does not answer yet")]
        public static partial void Slow(ILogger logger, string engine, int processId);

        [LoggerMessage(7, LogLevel.Information, "stopped {Engine} (process {ProcessId})")]
        public static partial void Stopped(ILogger logger, string engine, int processId);

        [LoggerMessage(8, LogLevel.Warning, "{Engine} (process {ProcessId}) did not stop when asked; sending {Signal}")]
        public static partial void DidNotStop(ILogger logger, string engine, int processId, Signal signal);

        [LoggerMessage(9, LogLevel.Warning, "cannot shorten {LogFile}")]
        public static partial void LogNotShortened(ILogger logger, string logFile, Exception exception);
    }
}

/// <summary>One engine at this moment.</summary>
/// <param name="ProcessId">0 while there is none.</param>
public sealed record EngineStatus(string Name, int ProcessId, bool Ready, int Restarts);
