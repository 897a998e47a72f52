using System.Text;
using System.Text.Json;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Slipway.Api;
using Slipway.Jobs.Queues;
using Slipway.Queue;
using Slipway.Tenancy;

namespace Slipway.Jobs.Watching;

/// <summary>Pushes a queue's numbers as <c>text/event-stream</c>. Ends after an hour, at a drain, and when the right to see them ends.</summary>
internal sealed class QueueStream(Authenticator authenticator, TimeProvider time) : IDisposable
{
    /// <summary>Then the client connects anew, perhaps to another server.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromHours(1);

    /// <summary>One for each terminal and browser tab of a person, with room.</summary>
    private const int MostPerCredential = 16;

    private readonly PartitionedRateLimiter<string> slots = PartitionedRateLimiter.Create<string, string>(credential =>
        RateLimitPartition.GetConcurrencyLimiter(credential, static _ => new ConcurrencyLimiterOptions { PermitLimit = MostPerCredential }));

    public void Dispose() => slots.Dispose();

    public async Task WriteAsync(HttpContext http, string org, OpenQueue queue, CancellationToken cancellationToken)
    {
        using var slot = slots.AttemptAcquire(http.GetCaller().CredentialId!);
        if (!slot.IsAcquired)
        {
            throw ApiException.TooMany($"This credential watches {MostPerCredential} queues already.", TimeSpan.FromSeconds(5));
        }

        var stats = await queue.Watch.RecentAsync(cancellationToken);
        http.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
        http.Response.ContentType = "text/event-stream";
        http.Response.Headers.CacheControl = "no-store";
        http.Response.Headers["X-Accel-Buffering"] = "no";
        await SendAsync(http, "retry: 2000\n\n", cancellationToken);
        var opened = time.GetTimestamp();
        QueueStats? before = null;
        while (time.GetElapsedTime(opened) < Longest)
        {
            if (!ReferenceEquals(stats, before))
            {
                var live = new JobQueueLive(StatsEndpoints.Shown(queue.Name, stats), Rates(before, stats));
                await SendAsync(http, $"event: stats\ndata: {JsonSerializer.Serialize(live, ApiJson.Default.JobQueueLive)}\n\n", cancellationToken);
                before = stats;
            }

            stats = await queue.Watch.NextAsync(cancellationToken);
            if (!(await authenticator.DecideAgainAsync(http.GetCaller(), JobPermissions.Read, org, queue.Name, cancellationToken)).IsAllowed)
            {
                await SendAsync(http, "event: end\ndata: {\"reason\":\"access ended\"}\n\n", cancellationToken);
                return;
            }
        }

        await SendAsync(http, "event: end\ndata: {\"reason\":\"connect again\"}\n\n", cancellationToken);
    }

    private static Dictionary<string, double> Rates(QueueStats? before, QueueStats now)
    {
        var seconds = before is null ? 0 : (now.ServerTime - before.ServerTime).TotalSeconds;
        if (before is null || seconds <= 0)
        {
            return [];
        }

        return now.Totals.ToDictionary(total => total.Key, total => Math.Round((total.Value - before.Totals.GetValueOrDefault(total.Key)) / seconds, 1));
    }

    private static async Task SendAsync(HttpContext http, string text, CancellationToken cancellationToken)
    {
        await http.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(text), cancellationToken);
        await http.Response.Body.FlushAsync(cancellationToken);
    }
}
