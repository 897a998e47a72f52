using System.Globalization;
using Npgsql;
using Slipway.Content;
using Slipway.Data;
using Slipway.Queue;
using Slipway.Resp;

namespace Slipway.Server.Health;

/// <summary>The checks behind <c>/readyz</c>.</summary>
internal static class Checks
{
    public static ReadinessCheck OfDatabase(Database database) => new("database", async cancellationToken =>
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        await using var command = new NpgsqlCommand("SELECT pg_is_in_recovery()", connection);
        return await command.ExecuteScalarAsync(cancellationToken) is true
            ? new CheckOutcome("this is a read-only replica; point database.url at the primary")
            : CheckOutcome.Well;
    });

    /// <param name="allowEviction">The operator says that jobs may be lost (<c>redis.allowEviction</c>).</param>
    public static ReadinessCheck OfQueue(IRespClient redis, bool allowEviction) => new("queue", async cancellationToken =>
    {
        await redis.SendAsync(RespCommand.Of("PING"), cancellationToken);
        try
        {
            var answer = await redis.SendAsync(RespCommand.Of("CONFIG", "GET", "maxmemory-policy"), cancellationToken);
            var policy = answer.Items is [_, var value] ? value.AsString() : "unknown";
            return policy is "noeviction" or "unknown"
                ? new CheckOutcome(null, $"maxmemory-policy {policy}")
                : allowEviction
                    ? new CheckOutcome(null, $"maxmemory-policy {policy}: jobs may be lost, which redis.allowEviction allows")
                    : new CheckOutcome($"Redis may evict jobs: its maxmemory-policy is {policy}; set it to noeviction, or redis.allowEviction to true to live with it");
        }
        catch (RespServerException)
        {
            // Hosted Redis often forbids CONFIG. It answers, and that is what we can know.
            return new CheckOutcome(null, "maxmemory-policy can't be read");
        }
    });

    /// <summary>
    /// The server's own workers fetch. One whose loop gets no answer is alive and deaf: nothing else would show it. Twice what an idle
    /// worker's fetch waits (15 s) is no pause any more.
    /// </summary>
    public static ReadinessCheck OfWorkers(IEnumerable<WorkerProgress> workers) => new("workers", _ =>
    {
        var deaf = workers.Select(worker => (worker.Queue, Since: worker.Since())).Where(worker => worker.Since > DeafAfter).ToList();
        return Task.FromResult(deaf.Count == 0
            ? CheckOutcome.Well
            : new CheckOutcome(string.Join("; ", deaf.Select(worker => string.Create(
                CultureInfo.InvariantCulture, $"the worker of queue {worker.Queue} has got no answer from Redis for {worker.Since.TotalSeconds:0} s; if Redis is well, restart this server")))));
    });

    private static readonly TimeSpan DeafAfter = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Every open store takes writes. A full one is told but does not make the server unready: it serves all it has, and a server taken
    /// away by a load balancer would turn a refused push into an outage of fetches.
    /// </summary>
    public static ReadinessCheck OfStores(ContentStores stores) => new("content-stores", async cancellationToken =>
    {
        var opened = stores.Opened;
        var probes = await Task.WhenAll(opened.Select(async one => (one.Name, Health: await one.Store.ProbeAsync(cancellationToken))));
        var broken = probes.Where(probe => !probe.Health.Writable).ToList();
        var full = probes.Where(probe => probe.Health is { Writable: true, FreeBytes: <= 0 }).Select(probe => probe.Name).ToList();
        // A bucket that does not answer makes no server unready: what is here is served, what is put is queued.
        var away = opened.Where(one => one.Tier?.Problem is not null).Select(one => Describe(one.Name, one.Tier!));
        string[] notes = [.. full.Count == 0 ? (string[])[] : [$"full: {string.Join(", ", full)}"], .. away];
        return new CheckOutcome(
            broken.Count == 0 ? null : string.Join("; ", broken.Select(probe => $"{probe.Name}: {probe.Health.Problem ?? "can't be written to"}")),
            notes.Length == 0 ? null : string.Join("; ", notes),
            probes.Length == 0 ? null : probes.Min(probe => probe.Health.FreeBytes));
    });

    private static string Describe(string store, TierStatus tier) =>
        $"{store}: the bucket fails since {tier.FailingSince:u} ({tier.Problem})"
        + (tier.WaitingSince is { } since ? string.Create(CultureInfo.InvariantCulture, $"; {tier.NotShippedBytes} bytes wait to be shipped, the oldest since {since:u}") : "");
}
