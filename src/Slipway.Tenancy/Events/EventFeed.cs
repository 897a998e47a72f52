using System.Collections.Concurrent;
using Dapper;
using Npgsql;

namespace Slipway.Tenancy;

/// <summary>
/// Wakes readers of the event log. A signal is only a hint that there may be more: what counts is in the table, and a slow poll finds
/// what another process wrote.
/// </summary>
public sealed class EventFeed
{
    /// <summary>How late an event of another process may be seen.</summary>
    private static readonly TimeSpan Poll = TimeSpan.FromSeconds(1);

    private readonly NpgsqlDataSource database;
    private readonly TimeProvider time;
    private readonly ConcurrentDictionary<Guid, TaskCompletionSource> signals = new();

    internal EventFeed(NpgsqlDataSource database, TimeProvider time)
    {
        this.database = database;
        this.time = time;
    }

    /// <summary>Waits until the chain of <paramref name="orgId"/> (null: the server's) has an event after <paramref name="afterSeq"/>.</summary>
    public async Task WaitAsync(Guid? orgId, long afterSeq, CancellationToken cancellationToken)
    {
        var chain = orgId ?? EventLog.ServerChain;
        while (true)
        {
            // Taken before looking, so that nothing written in between is slept through.
            var signal = SignalOf(chain);
            if (await HeadAsync(chain, cancellationToken) > afterSeq)
            {
                return;
            }

            await WaitOrPollAsync(signal, cancellationToken);
        }
    }

    internal async Task<long> HeadAsync(Guid chain, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        return await connection.ExecuteScalarAsync<long?>(new CommandDefinition(
            "select head_seq from event_chain where id = @chain", new { chain }, cancellationToken: cancellationToken)) ?? 0;
    }

    internal Task SignalOf(Guid chain) =>
        signals.GetOrAdd(chain, static _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    internal void Signal(Guid chain)
    {
        if (signals.TryRemove(chain, out var signal))
        {
            signal.TrySetResult();
        }
    }

    internal Task WaitOrPollAsync(Task signal, CancellationToken cancellationToken) => WaitOrPollAsync([signal], cancellationToken);

    internal async Task WaitOrPollAsync(Task[] wakeUps, CancellationToken cancellationToken)
    {
        try
        {
            await Task.WhenAny(wakeUps).WaitAsync(Poll, time, cancellationToken);
        }
        catch (TimeoutException)
        {
            // The poll.
        }
    }
}
