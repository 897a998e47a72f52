using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Threading.RateLimiting;
using Dapper;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Npgsql;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>
/// Pushes an org's events as they happen, as <c>text/event-stream</c>: <c>id</c> is the seq. Starts after <c>Last-Event-ID</c> or
/// <c>?after=</c>, and with neither at the end.
/// </summary>
internal sealed class EventStream(NpgsqlDataSource database, EventFeed feed, Authenticator authenticator, TimeProvider time) : IDisposable
{
    /// <summary>Keeps proxies, which drop silent connections after 30 to 60 s, from doing so (AP-8).</summary>
    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(15);

    /// <summary>Then the client connects anew, perhaps to another server (AP-8).</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromHours(1);

    /// <summary>One for each terminal and browser tab of a person, with room.</summary>
    private const int MostPerCredential = 16;

    private const int Batch = 200;

    private readonly PartitionedRateLimiter<string> slots = PartitionedRateLimiter.Create<string, string>(credential =>
        RateLimitPartition.GetConcurrencyLimiter(credential, static _ => new ConcurrencyLimiterOptions { PermitLimit = MostPerCredential }));

    public void Dispose() => slots.Dispose();

    public async Task WriteAsync(HttpContext http, string org, CancellationToken cancellationToken)
    {
        var caller = http.GetCaller();
        var chain = caller.OrgId(org)!.Value;
        var faults = new Faults();
        var after = EventEndpoints.ReadSeq(http.Request.Headers["Last-Event-ID"].FirstOrDefault() ?? http.Request.Query["after"].FirstOrDefault(), faults);
        faults.ThrowIfAny();
        using var slot = slots.AttemptAcquire(caller.CredentialId!);
        if (!slot.IsAcquired)
        {
            throw ApiException.TooMany($"This credential has {MostPerCredential} event streams open already.", TimeSpan.FromSeconds(5));
        }

        var seq = after ?? await feed.HeadAsync(chain, cancellationToken);
        http.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
        http.Response.ContentType = "text/event-stream";
        http.Response.Headers.CacheControl = "no-store";
        http.Response.Headers["X-Accel-Buffering"] = "no";
        await SendAsync(http, "retry: 2000\n\n", cancellationToken);

        var opened = time.GetTimestamp();
        var lastSent = opened;
        while (time.GetElapsedTime(opened) < Longest)
        {
            // All three are taken before looking, so that nothing is slept through.
            Task[] wakeUps = [feed.SignalOf(chain), authenticator.Forgotten];
            var now = await authenticator.RefreshAsync(caller, cancellationToken);
            if (now.IsAnonymous || !now.Decide(TenancyPermissions.ReadEvents, org, null).IsAllowed)
            {
                await SendAsync(http, "event: end\ndata: {\"reason\":\"access ended\"}\n\n", cancellationToken);
                return;
            }

            var events = await ReadAsync(chain, seq, cancellationToken);
            foreach (var row in events)
            {
                seq = row.Seq;
                var one = row.ToEvent();
                await SendAsync(
                    http,
                    string.Create(CultureInfo.InvariantCulture, $"id: {seq}\nevent: {one.Action}\ndata: {JsonSerializer.Serialize(one, ApiJson.Default.Event)}\n\n"),
                    cancellationToken);
                lastSent = time.GetTimestamp();
            }

            if (events.Count == Batch)
            {
                continue;
            }

            if (time.GetElapsedTime(lastSent) >= Heartbeat)
            {
                await SendAsync(http, ": still here\n\n", cancellationToken);
                lastSent = time.GetTimestamp();
            }

            await feed.WaitOrPollAsync(wakeUps, cancellationToken);
        }

        await SendAsync(http, "event: end\ndata: {\"reason\":\"connect again\"}\n\n", cancellationToken);
    }

    private async Task<IReadOnlyList<EventRow>> ReadAsync(Guid chain, long after, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var rows = await connection.QueryAsync<EventRow>(new CommandDefinition(
            "select seq, body, hash from event where chain_id = @chain and seq > @after order by seq limit @Batch",
            new { chain, after, Batch },
            cancellationToken: cancellationToken));
        return rows.AsList();
    }

    private static async Task SendAsync(HttpContext http, string text, CancellationToken cancellationToken)
    {
        await http.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(text), cancellationToken);
        await http.Response.Body.FlushAsync(cancellationToken);
    }
}
