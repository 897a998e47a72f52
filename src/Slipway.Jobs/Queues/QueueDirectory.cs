using System.Collections.Concurrent;
using Dapper;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Slipway.Data;
using Slipway.Queue;
using Slipway.Resp;
using Slipway.Tenancy;

namespace Slipway.Jobs.Queues;

/// <summary>
/// The queues in use on this server, by org and name. The database is asked again each five seconds of use, not by every request;
/// so long may a server that did not delete a queue itself still take jobs for it, which are then thrown away with it.
/// </summary>
internal sealed partial class QueueDirectory(Database database, IRespClient redis, JobsOptions options, TimeProvider time, ILogger<QueueDirectory> logger) : IAsyncDisposable
{
    private static readonly TimeSpan Freshness = TimeSpan.FromSeconds(5);

    /// <summary>Longer than any call: the longest, a stream, touches its queue each second.</summary>
    private static readonly TimeSpan CloseAfter = TimeSpan.FromMinutes(10);

    private readonly ConcurrentDictionary<(Guid Org, string Name), Entry> byName = new();
    private readonly SemaphoreSlim opening = new(1);

    public IEnumerable<OpenQueue> Open => byName.Values.Select(entry => entry.Queue);

    /// <summary>The queue of that name in the caller's org; 404 when there is none.</summary>
    public ValueTask<OpenQueue> FindAsync(HttpContext http, string org, string name, CancellationToken cancellationToken)
    {
        var orgId = http.GetCaller().OrgId(org) ?? throw ApiException.NotFound($"queue {org}/{name}");
        if (byName.TryGetValue((orgId, name), out var known) && time.GetElapsedTime(known.CheckedAt) < Freshness)
        {
            known.Queue.Touch();
            return ValueTask.FromResult(known.Queue);
        }

        return new ValueTask<OpenQueue>(LookUpAsync(orgId, org, name, cancellationToken));
    }

    public async Task<OpenQueue?> FindAsync(Guid id, CancellationToken cancellationToken)
    {
        var row = await ReadAsync("where q.id = @id", new { id }, cancellationToken);
        return row is null ? null : await OpenAsync(row, cancellationToken);
    }

    public async Task<OpenQueue> OpenAsync(QueueRow row, CancellationToken cancellationToken)
    {
        var key = (row.OrgId, row.Name);
        await opening.WaitAsync(cancellationToken);
        try
        {
            if (byName.TryGetValue(key, out var known))
            {
                if (known.Queue.Id == row.Id)
                {
                    known.Queue.Touch();
                    // A change is in Redis a moment before it is in the database. Only a difference that stays is one to mend: a commit that
                    // failed, or a Redis that lost what it had.
                    var differs = await DiffersAsync(known.Queue.Broker, row, cancellationToken);
                    if (differs && known.Differed)
                    {
                        Log.Mended(logger, row.Org, row.Name);
                        await known.Queue.Broker.ConfigureAsync(_ => row.Settings.ToQueue(), cancellationToken);
                        differs = false;
                    }

                    byName[key] = new Entry(known.Queue, time.GetTimestamp(), differs);
                    return known.Queue;
                }

                // Deleted and made again elsewhere. What this server may have put under the old id since goes too.
                byName.TryRemove(key, out _);
                await known.Queue.Broker.DeleteAsync(force: true, cancellationToken);
                await known.Queue.DisposeAsync();
            }

            var settings = row.Settings.ToQueue();
            var broker = await RedisBroker.OpenAsync(
                redis, NameInRedis(row.Id), new BrokerOptions { Initial = settings, MaxPayloadBytes = options.MaxPayloadBytes, Time = time }, cancellationToken);
            var queue = new OpenQueue(row.Id, row.OrgId, row.Org, row.Name, broker, time);
            byName[key] = new Entry(queue, time.GetTimestamp(), await DiffersAsync(broker, row, cancellationToken));
            return queue;
        }
        finally
        {
            opening.Release();
        }
    }

    /// <summary>Forgets a queue that was deleted here.</summary>
    public async Task RemoveAsync(OpenQueue queue)
    {
        byName.TryRemove((queue.OrgId, queue.Name), out _);
        await queue.DisposeAsync();
    }

    /// <summary>Closes what nobody used for long.</summary>
    public async Task CloseIdleAsync()
    {
        foreach (var (key, entry) in byName)
        {
            if (entry.Queue.IdleFor > CloseAfter && byName.TryRemove(new KeyValuePair<(Guid, string), Entry>(key, entry)))
            {
                await entry.Queue.DisposeAsync();
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var entry in byName.Values)
        {
            await entry.Queue.DisposeAsync();
        }

        byName.Clear();
        opening.Dispose();
    }

    /// <summary>By id and not by name: two tenants' queues can't meet, and one made anew under an old name starts empty.</summary>
    public static string NameInRedis(Guid id) => EntityId.Show("queue", id);

    private async Task<OpenQueue> LookUpAsync(Guid orgId, string org, string name, CancellationToken cancellationToken)
    {
        var row = await ReadAsync("where q.org_id = @orgId and q.name = @name", new { orgId, name }, cancellationToken);
        if (row is not null)
        {
            return await OpenAsync(row, cancellationToken);
        }

        if (byName.TryRemove((orgId, name), out var gone))
        {
            Log.DeletedElsewhere(logger, org, name);
            await gone.Queue.Broker.DeleteAsync(force: true, cancellationToken);
            await gone.Queue.DisposeAsync();
        }

        throw ApiException.NotFound($"queue {org}/{name}");
    }

    private async Task<QueueRow?> ReadAsync(string where, object parameters, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        return await connection.QuerySingleOrDefaultAsync<QueueRow>(new CommandDefinition($"{QueueRow.Select} {where}", parameters, cancellationToken: cancellationToken));
    }

    /// <summary>The database is the truth; Redis is what workers go by.</summary>
    private static async Task<bool> DiffersAsync(RedisBroker broker, QueueRow row, CancellationToken cancellationToken) =>
        !SettingsMapping.Same(SettingsMapping.Shown(await broker.SettingsAsync(cancellationToken)), row.Settings);

    /// <param name="Differed">Redis had other settings than the database when it was looked last.</param>
    private sealed record Entry(OpenQueue Queue, long CheckedAt, bool Differed);

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Warning, "queue {Org}/{Queue} had other settings in Redis than in the database; they are put right")]
        public static partial void Mended(ILogger logger, string org, string queue);

        [LoggerMessage(LogLevel.Information, "queue {Org}/{Queue} was deleted by another server")]
        public static partial void DeletedElsewhere(ILogger logger, string org, string queue);
    }
}
