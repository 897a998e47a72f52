using System.Collections.Concurrent;
using Dapper;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Slipway.Data;
using Slipway.Jobs.Queues;
using Slipway.Queue;

namespace Slipway.Jobs.DeadLetters;

/// <summary>
/// Works on redrives and purges: those started here, and those whose server fell silent. The dead letters that are left are what is left to
/// do, so one that is taken over just goes on.
/// </summary>
internal sealed partial class OperationRunner(Database database, QueueDirectory queues, TimeProvider time, ILogger<OperationRunner> logger) : IHostedService
{
    /// <summary>A runner says this often that it lives.</summary>
    private static readonly TimeSpan SignOfLife = TimeSpan.FromSeconds(2);

    /// <summary>Five signs missed: longer than a pause of anything here.</summary>
    private static readonly TimeSpan SilentAfter = TimeSpan.FromSeconds(10);

    /// <summary>Finished ones are shown for a week.</summary>
    private static readonly TimeSpan KeptFor = TimeSpan.FromDays(7);

    private readonly ConcurrentDictionary<Guid, (Task Work, CancellationTokenSource Cancelled)> running = new();
    private readonly CancellationTokenSource stopping = new();
    private volatile TaskCompletionSource looked = NewSignal();
    private volatile TaskCompletionSource progressed = NewSignal();
    private Task loop = Task.CompletedTask;

    /// <summary>Names this server among the runners.</summary>
    public Guid Id { get; } = Guid.NewGuid();

    /// <summary>Completes when an operation of this server got further.</summary>
    public Task Progressed => progressed.Task;

    public CancellationToken Stopping => stopping.Token;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        loop = RunAsync();
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await stopping.CancelAsync();
        await loop;
        await Task.WhenAll(running.Values.Select(one => one.Work));
    }

    /// <summary>There is something new to do.</summary>
    public void Look() => Interlocked.Exchange(ref looked, NewSignal()).TrySetResult();

    public void Cancel(Guid operation)
    {
        if (running.TryGetValue(operation, out var one))
        {
            one.Cancelled.Cancel();
        }
    }

    private async Task RunAsync()
    {
        while (!stopping.IsCancellationRequested)
        {
            var look = looked.Task;
            try
            {
                await TakeAsync(stopping.Token);
            }
            catch (Exception failure) when (failure is not OperationCanceledException)
            {
                Log.LookFailed(logger, failure);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            using var awake = CancellationTokenSource.CreateLinkedTokenSource(stopping.Token);
            await Task.WhenAny(look, Task.Delay(SilentAfter, time, awake.Token));
            await awake.CancelAsync();
        }
    }

    private async Task TakeAsync(CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        var now = time.GetUtcNow();
        var mine = await connection.QueryAsync<Guid>(new CommandDefinition(
            """
            update job_operation set runner = @Id, seen_at = @now
            where id in (select id from job_operation where state = 'running' and (runner = @Id or seen_at < @silent) for update skip locked)
            returning id
            """,
            new { Id, now, silent = now - SilentAfter }, cancellationToken: cancellationToken));
        foreach (var operation in mine.Where(one => !running.ContainsKey(one)))
        {
            var cancelled = CancellationTokenSource.CreateLinkedTokenSource(stopping.Token);
            running[operation] = (Task.Run(() => WorkAsync(operation, cancelled), CancellationToken.None), cancelled);
        }

        await connection.ExecuteAsync(new CommandDefinition("delete from job_operation where finished_at < @before", new { before = now - KeptFor }, cancellationToken: cancellationToken));
    }

    private async Task WorkAsync(Guid id, CancellationTokenSource cancelled)
    {
        string state = "done";
        string? error = null;
        long before = 0, done = 0;
        try
        {
            var row = await ReadAsync(id, cancelled.Token);
            before = row.Done;
            var queue = await queues.FindAsync(row.QueueId, cancelled.Token) ?? throw new OperationCanceledException("its queue is gone");
            var filter = new DeadFilter(row.Ids, row.Reason, row.Type);
            var progress = new LatestCount(count => Interlocked.Exchange(ref done, count));
            var work = row.Kind == "redrive"
                ? queue.Broker.RedriveAsync(filter, row.PerSecond, progress, cancelled.Token)
                : queue.Broker.PurgeDeadAsync(filter, progress, cancelled.Token);
            while (await Task.WhenAny(work, Task.Delay(SignOfLife, time, CancellationToken.None)) != work)
            {
                queue.Touch();
                if (await NoteAsync(id, before + Interlocked.Read(ref done)))
                {
                    await cancelled.CancelAsync();
                }
            }

            done = await work;
        }
        catch (OperationCanceledException)
        {
            if (stopping.IsCancellationRequested)
            {
                // Not cancelled by anybody: the next server goes on.
                running.TryRemove(id, out _);
                return;
            }

            state = "cancelled";
        }
        catch (Exception failure)
        {
            state = "failed";
            error = failure.Message;
            Log.Failed(logger, failure, EntityId.Show("op", id));
        }

        await FinishAsync(id, state, before + done, error);
        running.TryRemove(id, out _);
        cancelled.Dispose();
        Interlocked.Exchange(ref progressed, NewSignal()).TrySetResult();
    }

    private async Task<OperationRow> ReadAsync(Guid id, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        return await connection.QuerySingleAsync<OperationRow>(new CommandDefinition($"{OperationRow.Select} where id = @id", new { id }, cancellationToken: cancellationToken));
    }

    /// <returns>Somebody wants it cancelled.</returns>
    private async Task<bool> NoteAsync(Guid id, long done)
    {
        try
        {
            await using var connection = await database.OpenAsync(CancellationToken.None);
            var cancel = await connection.ExecuteScalarAsync<bool?>(new CommandDefinition(
                "update job_operation set done = @done, seen_at = @now where id = @id and runner = @me returning cancel_requested", new { id, done, now = time.GetUtcNow(), me = Id }));
            Interlocked.Exchange(ref progressed, NewSignal()).TrySetResult();
            // Another server took it over: this one was too slow, and two must not do it at one time.
            return cancel ?? true;
        }
        catch (Npgsql.NpgsqlException)
        {
            return false;
        }
    }

    private async Task FinishAsync(Guid id, string state, long done, string? error)
    {
        try
        {
            await using var connection = await database.OpenAsync(CancellationToken.None);
            await connection.ExecuteAsync(new CommandDefinition(
                "update job_operation set state = @state, done = @done, error = @error, finished_at = @now where id = @id and runner = @me",
                new { id, state, done, error, now = time.GetUtcNow(), me = Id }));
        }
        catch (Npgsql.NpgsqlException failure)
        {
            // It stays running, is taken again, and finds nothing left to do.
            Log.Failed(logger, failure, EntityId.Show("op", id));
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Not <see cref="Progress{T}"/>, which reports late and out of order.</summary>
    private sealed class LatestCount(Action<long> report) : IProgress<long>
    {
        public void Report(long value) => report(value);
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Warning, "The redrives and purges to do could not be read; tried again shortly.")]
        public static partial void LookFailed(ILogger logger, Exception failure);

        [LoggerMessage(LogLevel.Warning, "{Operation} failed")]
        public static partial void Failed(ILogger logger, Exception failure, string operation);
    }
}
