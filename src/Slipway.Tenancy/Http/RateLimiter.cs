using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.AspNetCore.Http;

namespace Slipway.Tenancy;

/// <summary>
/// Token buckets per credential, and per network for requests without a good one. Per process: with several servers the limit is per
/// server, which keeps the check off the network.
/// </summary>
internal sealed class RateLimiter(TenancyOptions options, TimeProvider time)
{
    /// <summary>Buckets kept at once, about 100 bytes each; beyond it the full ones, which say nothing, are dropped.</summary>
    private const int MostBuckets = 100_000;

    private readonly ConcurrentDictionary<string, Bucket> buckets = new(StringComparer.Ordinal);
    private long nextSweep = MostBuckets;

    /// <summary>Takes one request from the caller's bucket, writes the <c>RateLimit</c> fields, and throws 429 when it is empty.</summary>
    public ApiException? Take(HttpContext http, Caller caller)
    {
        var (name, limit, partition) = caller.CredentialId is { } credential
            ? ("credential", options.CredentialRateLimit, credential)
            : ("anonymous", options.AnonymousRateLimit, NetworkAddress.Network(http.Connection.RemoteIpAddress));
        var now = time.GetTimestamp();
        if (buckets.Count >= Interlocked.Read(ref nextSweep))
        {
            Sweep(now);
        }

        var bucket = buckets.GetOrAdd(partition, static (_, state) => new Bucket(state.limit, state.now), (limit, now));
        var (granted, remaining, untilOne, untilFull) = bucket.Take(now, time);
        var headers = http.Response.Headers;
        // The fields of draft-ietf-httpapi-ratelimit-headers: a named quota per window, then what is left and when it is whole again.
        headers["RateLimit-Policy"] = string.Create(
            CultureInfo.InvariantCulture, $"\"{name}\";q={limit.Quota};w={(long)limit.Window.TotalSeconds}");
        headers["RateLimit"] = string.Create(
            CultureInfo.InvariantCulture, $"\"{name}\";r={remaining};t={(long)Math.Ceiling((granted ? untilFull : untilOne).TotalSeconds)}");
        return granted ? null : ApiException.TooMany($"More than {limit.Quota} requests in {limit.Window.TotalSeconds:0} seconds.", untilOne);
    }

    private void Sweep(long now)
    {
        foreach (var (partition, bucket) in buckets)
        {
            if (bucket.IsFull(now, time))
            {
                buckets.TryRemove(partition, out _);
            }
        }

        // When most are in use, sweeping at every request would be the attack.
        Interlocked.Exchange(ref nextSweep, Math.Max(MostBuckets, buckets.Count * 2L));
    }

    private sealed class Bucket(RateLimit limit, long created)
    {
        private readonly Lock gate = new();
        private double level = limit.Quota;
        private long filledAt = created;

        public (bool Granted, int Remaining, TimeSpan UntilOne, TimeSpan UntilFull) Take(long now, TimeProvider time)
        {
            lock (gate)
            {
                Fill(now, time);
                var granted = level >= 1;
                if (granted)
                {
                    level--;
                }

                return (granted, (int)level, Wait(1 - level), Wait(limit.Quota - level));
            }
        }

        public bool IsFull(long now, TimeProvider time)
        {
            lock (gate)
            {
                Fill(now, time);
                return level >= limit.Quota;
            }
        }

        private void Fill(long now, TimeProvider time)
        {
            var elapsed = time.GetElapsedTime(filledAt, now);
            if (elapsed > TimeSpan.Zero)
            {
                level = Math.Min(limit.Quota, level + (elapsed / limit.Window * limit.Quota));
                filledAt = now;
            }
        }

        private TimeSpan Wait(double missing) => missing <= 0 ? TimeSpan.Zero : limit.Window * (missing / limit.Quota);
    }
}
