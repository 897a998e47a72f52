using System.Text.Json;
using Slipway.Chaos.Accounting;
using Slipway.Chaos.Faults;

namespace Slipway.Chaos.Roles;

/// <summary>Starts this program again, in another role.</summary>
internal static class RoleProcess
{
    /// <param name="words">Role and settings.</param>
    public static Task<GuardedProcess> StartAsync(
        IReadOnlyList<string> words, string logPath, IReadOnlyDictionary<string, string>? environment, CancellationToken cancellationToken)
    {
        var all = new Dictionary<string, string>(environment ?? new Dictionary<string, string>())
        {
            // The program beside us finds the runtime that we run on, also where that is in no usual place.
            ["DOTNET_ROOT"] = Path.GetFullPath(Path.Combine(System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "../../..")),
            ["DOTNET_TieredPGO"] = "0",
        };
        return GuardedProcess.StartAsync([Path.Combine(AppContext.BaseDirectory, "Slipway.Chaos"), .. words], logPath, all, cancellationToken);
    }

    public static async Task ReadyAsync<T>(GuardedProcess process, RecordFile<T> log, CancellationToken cancellationToken)
        where T : unmanaged
    {
        for (int waited = 0; !log.IsReady; waited += 5)
        {
            if (process.HasEnded || waited > 30_000)
            {
                throw new InvalidOperationException($"A child did not start:\n{await File.ReadAllTextAsync(process.LogPath, cancellationToken)}");
            }

            await Task.Delay(5, cancellationToken);
        }
    }
}

/// <summary>A worker process, and what was done to it.</summary>
internal sealed class WorkerProcess(string name, WorkerSettings settings, GuardedProcess process, RecordFile<RunRecord> log) : IAsyncDisposable
{
    private readonly List<long> interrupted = [];

    public string Name => name;

    public WorkerSettings Settings => settings;

    public GuardedProcess Process => process;

    public RecordFile<RunRecord> Log => log;

    public RunLog Runs => new(name, log.Records.ToArray(), [.. interrupted]);

    /// <summary>Runs that have begun and not ended, among the latest thousand.</summary>
    public int UnderWay
    {
        get
        {
            int count = 0;
            ReadOnlySpan<RunRecord> runs = log.Records;
            foreach (RunRecord run in runs[Math.Max(0, runs.Length - 1000)..])
            {
                count += run.Outcome is RunOutcome.Started ? 1 : 0;
            }

            return count;
        }
    }

    public static async Task<WorkerProcess> StartAsync(
        string name, WorkerSettings settings, string output, IReadOnlyDictionary<string, string>? environment, CancellationToken cancellationToken)
    {
        RecordFile<RunRecord> log = WorkerHost.CreateLog(settings.Log);
        GuardedProcess process = await RoleProcess.StartAsync(
            ["worker", JsonSerializer.Serialize(settings, RoleJson.Default.WorkerSettings)], output, environment, cancellationToken);
        return new WorkerProcess(name, settings, process, log);
    }

    public Task ReadyAsync(CancellationToken cancellationToken) => RoleProcess.ReadyAsync(process, log, cancellationToken);

    /// <returns>When.</returns>
    public async Task<long> KillAsync(CancellationToken cancellationToken)
    {
        process.Send(Signal.Kill);
        long sent = Moments.Now;
        await process.ExitCodeAsync(cancellationToken);
        // It worked on for the moment that the signal took to reach it.
        foreach (RunRecord run in log.Records)
        {
            sent = Math.Max(sent, Math.Max(run.Start, run.End));
        }

        interrupted.Add(sent);
        return sent;
    }

    /// <summary>It ended by itself, at about this moment.</summary>
    public void Died() => interrupted.Add(Moments.Now);

    public long Freeze()
    {
        process.Send(Signal.Stop);
        interrupted.Add(Moments.Now);
        return interrupted[^1];
    }

    public void Thaw() => process.Send(Signal.Continue);

    /// <summary>Stops it gracefully. Returns its exit code.</summary>
    public async Task<int> TerminateAsync(CancellationToken cancellationToken)
    {
        process.Send(Signal.Terminate);
        return await process.ExitCodeAsync(cancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        await process.DisposeAsync();
        log.Dispose();
    }
}

/// <summary>A producer process.</summary>
internal sealed class ProducerProcess(ProducerSettings settings, GuardedProcess process, RecordFile<OfferRecord> log) : IAsyncDisposable
{
    public ProducerSettings Settings => settings;

    public GuardedProcess Process => process;

    public RecordFile<OfferRecord> Log => log;

    public static async Task<ProducerProcess> StartAsync(ProducerSettings settings, string output, CancellationToken cancellationToken)
    {
        RecordFile<OfferRecord> log = ProducerRole.CreateLog(settings.Log);
        GuardedProcess process = await RoleProcess.StartAsync(
            ["producer", JsonSerializer.Serialize(settings, RoleJson.Default.ProducerSettings)], output, null, cancellationToken);
        return new ProducerProcess(settings, process, log);
    }

    public Task ReadyAsync(CancellationToken cancellationToken) => RoleProcess.ReadyAsync(process, log, cancellationToken);

    /// <summary>Tells it to stop, and waits for the answers that it waits for.</summary>
    public async Task<int> StopAsync(CancellationToken cancellationToken)
    {
        process.Send(Signal.Terminate);
        return await process.ExitCodeAsync(cancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        await process.DisposeAsync();
        log.Dispose();
    }
}
