using System.Globalization;
using System.Net.Http.Headers;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Working;

/// <summary>A POST per job, signed. 2xx: done; 410: never again; 429 and 503 with Retry-After: then; everything else failed.</summary>
internal sealed class HttpRunner : IJobRunner
{
    /// <summary>A receiver that says more is not listened to: a result has this much at most.</summary>
    private const int MostAnswer = JobOutcome.MostResult;

    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);

    /// <summary>Longer is taken for a mistake in its unit.</summary>
    private static readonly TimeSpan LongestPause = TimeSpan.FromDays(1);

    private readonly Uri url;
    private readonly StandardWebhook? signer;
    private readonly TimeProvider time;
    private readonly HttpClient http;

    /// <param name="signer">Null: unsigned.</param>
    public HttpRunner(Uri url, StandardWebhook? signer, int concurrency, TimeProvider time)
    {
        (this.url, this.signer, this.time) = (url, signer, time);
        http = new HttpClient(new SocketsHttpHandler
        {
            // The signature and the payload are for that address and no other.
            AllowAutoRedirect = false,
            UseCookies = false,
            ConnectTimeout = ConnectTimeout,
            MaxConnectionsPerServer = concurrency,
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
        })
        {
            Timeout = Timeout.InfiniteTimeSpan,
        };
        About = "http " + url.GetLeftPart(UriPartial.Path);
    }

    public string About { get; }

    public static Uri ParseUrl(string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var url) && url.Scheme is "http" or "https" && url.UserInfo.Length == 0 && url.Host.Length > 0
            ? url
            : throw CliFailure.Usage($"\"{text}\" is not a URL that jobs can be sent to", "slipway jobs work QUEUE --http https://example.com/jobs");

    public async Task<JobOutcome> RunAsync(RunningJob job, CancellationToken cancellationToken)
    {
        try
        {
            using var request = Request(job);
            using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            var (body, whole) = await ReadAsync(response, cancellationToken);
            return Judge(response, body, whole);
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return JobOutcome.Failed("no answer", exception.InnerException?.Message is { } inner && exception is HttpRequestException ? $"{exception.Message} {inner}" : exception.Message);
        }
    }

    public void Dispose() => http.Dispose();

    private HttpRequestMessage Request(RunningJob job)
    {
        var leased = job.Job;
        var id = leased.Id.ToString();
        var timestamp = time.GetUtcNow().ToUnixTimeSeconds();
        var request = new HttpRequestMessage(HttpMethod.Post, url)
        {
            Content = new ByteArrayContent(job.Payload) { Headers = { ContentType = new MediaTypeHeaderValue(job.IsJson ? "application/json" : "application/octet-stream") } },
        };
        Set("User-Agent", $"slipway-jobs/{CliVersion.Text}");
        Set("webhook-id", id);
        Set("webhook-timestamp", timestamp.ToString(CultureInfo.InvariantCulture));
        if (signer is not null)
        {
            Set("webhook-signature", signer.Sign(id, timestamp, job.Payload));
        }

        Set("Slipway-Job-Type", leased.Type);
        Set("Slipway-Job-Queue", $"{job.Org}/{job.Queue}");
        Set("Slipway-Job-Attempt", leased.Attempt.ToString(CultureInfo.InvariantCulture));
        Set("Slipway-Job-Token", job.Token.ToString(CultureInfo.InvariantCulture));
        if (leased.TraceParent is { } trace)
        {
            Set("traceparent", trace);
        }

        return request;

        void Set(string name, string value) => request.Headers.TryAddWithoutValidation(name, value);
    }

    private JobOutcome Judge(HttpResponseMessage response, byte[] body, bool whole)
    {
        var status = (int)response.StatusCode;
        var reason = string.Create(CultureInfo.InvariantCulture, $"HTTP {status}");
        if (status is >= 200 and < 300)
        {
            return JobOutcome.Completed(whole ? body : "\"(the answer has over 64 KiB)\""u8.ToArray());
        }

        var error = status is >= 300 and < 400
            ? $"{reason} to {response.Headers.Location}: redirects are not followed, give that address to --http"
            : JobOutcome.TextOf(body) is { Length: > 0 } text ? $"{reason}: {text}" : $"{reason} {response.ReasonPhrase}".TrimEnd();
        TimeSpan? after = response.Headers.RetryAfter switch
        {
            { Delta: { } delta } => delta,
            { Date: { } date } => date - time.GetUtcNow(),
            _ => null,
        };
        return (status, after) switch
        {
            (410, _) => JobOutcome.Dead(reason, error),
            (429 or 503, { } pause) => JobOutcome.Retry(reason, error, pause < TimeSpan.Zero ? TimeSpan.Zero : pause > LongestPause ? LongestPause : pause),
            _ => JobOutcome.Failed(reason, error),
        };
    }

    private static async Task<(byte[] Body, bool Whole)> ReadAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        await using var stream = await response.Content.ReadAsStreamAsync(cancellationToken);
        var buffer = new byte[MostAnswer];
        var read = await stream.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellationToken);
        var whole = read < buffer.Length || await stream.ReadAsync(new byte[1], cancellationToken) == 0;
        return (buffer[..read], whole);
    }
}
