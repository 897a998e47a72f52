using System.Diagnostics.Metrics;
using Microsoft.AspNetCore.Http;

namespace Slipway.BuildCache.Http;

/// <summary>What tools ask of the HTTP caches, for <c>/metrics</c>: by tool and outcome. No label per cache: their number is not bounded.</summary>
internal sealed class HttpCacheMetrics
{
    private static readonly object[] Tools = [.. Enum.GetNames<HttpTool>().Select(name => name switch
    {
        nameof(HttpTool.BazelActions) => "bazel_ac",
        nameof(HttpTool.BazelBlobs) => "bazel_cas",
        _ => (object)name.ToLowerInvariant(),
    })];

    private readonly Histogram<double> duration;
    private readonly Counter<long> transferred;

    public HttpCacheMetrics(IMeterFactory meters)
    {
        var meter = meters.Create("Slipway.BuildCache.Http");
        duration = meter.CreateHistogram<double>("slipway.buildcache.http.duration", "s", "Requests to the HTTP caches by tool and outcome: hit, miss, stored, other, refused, failed, cut.");
        transferred = meter.CreateCounter<long>("slipway.buildcache.http.transferred", "By", "Bytes of hits (down) and of stored objects (up) of the HTTP caches by tool, as announced.");
    }

    public void Ended(HttpContext http, TimeSpan took)
    {
        // What names no tool is no request to a cache.
        if (http.Request.Path.Value is not { } path || path.Length <= HttpCaches.Prefix.Length || !HttpRoute.TryParse(path.AsSpan(HttpCaches.Prefix.Length), out var route))
        {
            return;
        }

        var outcome = OutcomeOf(http, route.Tool, route.Key);
        var tool = new KeyValuePair<string, object?>("tool", Tools[(int)route.Tool]);
        duration.Record(took.TotalSeconds, tool, new KeyValuePair<string, object?>("outcome", outcome));
        var bytes = outcome switch
        {
            "hit" when !HttpMethods.IsHead(http.Request.Method) => http.Response.ContentLength,
            "stored" => http.Request.ContentLength,
            _ => null,
        };
        if (bytes is > 0)
        {
            transferred.Add(bytes.Value, tool, new KeyValuePair<string, object?>("direction", outcome == "hit" ? "down" : "up"));
        }
    }

    private static string OutcomeOf(HttpContext http, HttpTool tool, ReadOnlySpan<char> key)
    {
        if (http.RequestAborted.IsCancellationRequested)
        {
            return "cut";
        }

        var method = http.Request.Method;
        return http.Response.StatusCode switch
        {
            >= 500 => "failed",
            404 => "miss",
            >= 400 => "refused",
            // Turborepo asks first whether there is a cache at all.
            _ when tool == HttpTool.Turborepo && key.EndsWith("/status", StringComparison.Ordinal) => "other",
            _ when HttpMethods.IsGet(method) || HttpMethods.IsHead(method) => "hit",
            _ when HttpMethods.IsPut(method) => "stored",
            _ => "other",
        };
    }
}
