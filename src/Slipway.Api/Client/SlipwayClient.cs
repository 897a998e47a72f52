using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Slipway.Api.Client;

/// <summary>
/// Typed calls for every route of the HTTP API. An answer that is a problem becomes a <see cref="SlipwayApiException"/>, no answer a
/// <see cref="SlipwayUnreachableException"/>; both only after the tries that make sense.
/// </summary>
/// <remarks>
/// <code>
///              connect failed   429   502 503 504   cut or timeout (in doubt)
/// GET PUT DELETE     again     again     again        again
/// POST with key      again     again     again        again       the server replays what it stored under the Idempotency-Key
/// PATCH              again     again       –            –         a second PATCH is a second change
/// </code>
/// </remarks>
public sealed partial class SlipwayClient : IDisposable
{
    private const string IdempotencyKeyHeader = "Idempotency-Key";
    private const string ProducerHeader = "Slipway-Producer";
    private const string SequenceHeader = "Slipway-Sequence";

    /// <summary>A problem is a page of text at most; what is longer did not come from Slipway.</summary>
    private const int MaxProblemBytes = 1 << 20;

    // Requests refuse unknown fields, answers must not: a newer server may say more than this client knows. And the server leaves nulls
    // out, so a nullable field of a record may be absent.
    private static readonly ApiJson Json = new(new JsonSerializerOptions(ApiJson.Default.Options)
    {
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Skip,
        RespectRequiredConstructorParameters = false,
    });

    private readonly SlipwayClientOptions options;
    private readonly HttpClient http;

    public SlipwayClient(SlipwayClientOptions options)
    {
        this.options = options;
        http = new HttpClient(new SocketsHttpHandler
        {
            ConnectTimeout = options.ConnectTimeout,
            // The credential must reach only the server it was meant for, and the API never redirects.
            AllowAutoRedirect = false,
            UseCookies = false,
            AutomaticDecompression = DecompressionMethods.None,
            // Uploads wait for "100 Continue", so that a refusal comes before the body. A loaded server may need a while.
            Expect100ContinueTimeout = TimeSpan.FromSeconds(10),
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
        })
        {
            BaseAddress = options.Url,
            Timeout = Timeout.InfiniteTimeSpan,
        };
        http.DefaultRequestHeaders.TryAddWithoutValidation("User-Agent", options.UserAgent);
        if (options.Token is not null)
        {
            http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", options.Token);
        }
    }

    public Uri Url => options.Url;

    public void Dispose() => http.Dispose();

    private Task<T> GetAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken cancellationToken) =>
        SendAsync(new Call(HttpMethod.Get, path), (response, token) => ReadAsync(response, type, token), cancellationToken);

    private Task<Tagged<T>> GetTaggedAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken cancellationToken) =>
        SendAsync(
            new Call(HttpMethod.Get, path),
            async (response, token) => new Tagged<T>(await ReadAsync(response, type, token), response.Headers.ETag?.ToString()),
            cancellationToken);

    private Task<T> PostAsync<TBody, T>(string path, TBody body, JsonTypeInfo<TBody> bodyType, JsonTypeInfo<T> type, CancellationToken cancellationToken) =>
        SendAsync(
            new Call(HttpMethod.Post, path) { Body = JsonSerializer.SerializeToUtf8Bytes(body, bodyType), IdempotencyKey = NewIdempotencyKey() },
            (response, token) => ReadAsync(response, type, token),
            cancellationToken);

    private Task<T> PostAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken cancellationToken) =>
        SendAsync(
            new Call(HttpMethod.Post, path) { IdempotencyKey = NewIdempotencyKey() },
            (response, token) => ReadAsync(response, type, token),
            cancellationToken);

    private Task<T> PutAsync<TBody, T>(string path, TBody body, JsonTypeInfo<TBody> bodyType, JsonTypeInfo<T> type, CancellationToken cancellationToken) =>
        SendAsync(
            new Call(HttpMethod.Put, path) { Body = JsonSerializer.SerializeToUtf8Bytes(body, bodyType) },
            (response, token) => ReadAsync(response, type, token),
            cancellationToken);

    private Task<T> PatchAsync<TBody, T>(string path, TBody body, JsonTypeInfo<TBody> bodyType, string? etag, JsonTypeInfo<T> type, CancellationToken cancellationToken) =>
        SendAsync(
            new Call(HttpMethod.Patch, path) { Body = JsonSerializer.SerializeToUtf8Bytes(body, bodyType), IfMatch = etag },
            (response, token) => ReadAsync(response, type, token),
            cancellationToken);

    private Task DeleteAsync(string path, string? etag, CancellationToken cancellationToken) =>
        SendAsync(new Call(HttpMethod.Delete, path) { IfMatch = etag }, static (_, _) => Task.FromResult(true), cancellationToken);

    /// <summary>Every try of one call: send, judge, wait, again.</summary>
    private async Task<T> SendAsync<T>(Call call, Func<HttpResponseMessage, CancellationToken, Task<T>> read, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            Exception failure;
            using var timeout = new CancellationTokenSource(call.Timeout ?? options.CallTimeout, options.Time);
            using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, timeout.Token);
            try
            {
                using var request = call.ToRequest();
                using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, linked.Token);
                if (response.IsSuccessStatusCode)
                {
                    return await read(response, linked.Token);
                }

                failure = await ProblemOfAsync(response, linked.Token);
            }
            catch (Exception exception) when (exception is HttpRequestException or IOException or OperationCanceledException)
            {
                cancellationToken.ThrowIfCancellationRequested();
                failure = Unreachable(exception);
            }

            if (attempt >= options.MaxTries || !MayTryAgain(call, failure))
            {
                throw failure;
            }

            await WaitAsync(attempt, failure, cancellationToken);
        }
    }

    private static bool MayTryAgain(Call call, Exception failure) => failure switch
    {
        SlipwayUnreachableException { Reason: UnreachableReason.Refused } => true,
        SlipwayUnreachableException { Reason: UnreachableReason.Cut or UnreachableReason.Timeout } => call.IsRepeatable,
        // A full queue is no traffic jam: whoever enqueues decides whether to wait, and for how long.
        SlipwayApiException { Problem: { Status: 429, Code: not ProblemCodes.QueueFull } } => true,
        SlipwayApiException { Problem.Status: 502 or 503 or 504 } => call.IsRepeatable,
        SlipwayApiException { Problem.Code: ProblemCodes.IdempotencyInProgress } => true,
        _ => false,
    };

    private async Task WaitAsync(int attempt, Exception failure, CancellationToken cancellationToken)
    {
        var delay = RetryDelay.Next(attempt, (failure as SlipwayApiException)?.RetryAfter);
        options.OnRetry?.Invoke(new RetryNotice(attempt, options.MaxTries, delay, failure.Message));
        await Task.Delay(delay, options.Time, cancellationToken);
    }

    private static async Task<T> ReadAsync<T>(HttpResponseMessage response, JsonTypeInfo<T> type, CancellationToken cancellationToken)
    {
        await using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
        try
        {
            return await JsonSerializer.DeserializeAsync(body, type, cancellationToken)
                ?? throw new JsonException("the body is null");
        }
        catch (JsonException exception)
        {
            throw new SlipwayUnreachableException(
                response.RequestMessage!.RequestUri!, UnreachableReason.NotSlipway, $"the answer is not what Slipway says there: {exception.Message}", exception);
        }
    }

    /// <summary>The problem of an answer; made up from the status when a proxy in between answered instead of Slipway.</summary>
    private async Task<SlipwayApiException> ProblemOfAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        var retryAfter = response.Headers.RetryAfter switch
        {
            { Delta: { } delta } => delta,
            { Date: { } date } => date - options.Time.GetUtcNow(),
            _ => (TimeSpan?)null,
        };
        if (response.Content.Headers.ContentType?.MediaType == Problem.MediaType)
        {
            try
            {
                await response.Content.LoadIntoBufferAsync(MaxProblemBytes, cancellationToken);
                await using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
                if (await JsonSerializer.DeserializeAsync(body, Json.Problem, cancellationToken) is { } problem)
                {
                    return new SlipwayApiException(problem, retryAfter);
                }
            }
            catch (JsonException)
            {
                // Said to be a problem and is not: the status is all we can trust.
            }
        }

        var status = (int)response.StatusCode;
        return new SlipwayApiException(
            new Problem
            {
                Title = response.ReasonPhrase is { Length: > 0 } reason ? reason : $"HTTP {status}",
                Status = status,
                Code = CodeOf(status),
                Detail = $"{response.RequestMessage!.RequestUri!.GetLeftPart(UriPartial.Path)} answered {status} {response.ReasonPhrase} without saying why",
                Hint = "check that the URL is that of a Slipway server, and what stands in between",
                RequestId = response.Headers.TryGetValues("X-Request-Id", out var ids) ? ids.FirstOrDefault() : null,
                Retryable = status is 429 or 502 or 503 or 504,
            },
            retryAfter);
    }

    private static string CodeOf(int status) => status switch
    {
        400 => ProblemCodes.InvalidRequest,
        401 => ProblemCodes.SignInRequired,
        403 => ProblemCodes.Forbidden,
        404 => ProblemCodes.NotFound,
        409 => ProblemCodes.Conflict,
        412 => ProblemCodes.PreconditionFailed,
        413 => ProblemCodes.TooLarge,
        428 => ProblemCodes.PreconditionRequired,
        429 => ProblemCodes.TooManyRequests,
        507 => ProblemCodes.StoreFull,
        502 or 503 or 504 => ProblemCodes.Unavailable,
        _ => ProblemCodes.Internal,
    };

    private SlipwayUnreachableException Unreachable(Exception exception)
    {
        var where = options.Url.GetLeftPart(UriPartial.Authority);
        var (reason, message) = exception switch
        {
            HttpRequestException { HttpRequestError: HttpRequestError.NameResolutionError } =>
                (UnreachableReason.NameUnknown, $"the host name {options.Url.Host} does not resolve"),
            HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError } =>
                (UnreachableReason.Tls, $"no TLS connection to {where}: {exception.InnerException?.Message ?? exception.Message}"),
            HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError } =>
                (UnreachableReason.Refused, $"nothing answers at {where}"),
            HttpRequestException { HttpRequestError: HttpRequestError.InvalidResponse } =>
                (UnreachableReason.NotSlipway, $"what answers at {where} does not speak HTTP"),
            OperationCanceledException { InnerException: TimeoutException } or OperationCanceledException =>
                (UnreachableReason.Timeout, $"no answer from {where} in time"),
            _ => (UnreachableReason.Cut, $"the connection to {where} broke: {exception.Message}"),
        };
        return new SlipwayUnreachableException(options.Url, reason, message, exception);
    }

    private static string NewIdempotencyKey() => RandomNumberGenerator.GetHexString(32, lowercase: true);

    /// <summary>One call, from which each try makes a fresh request.</summary>
    private sealed record Call(HttpMethod Method, string Path)
    {
        public byte[]? Body { get; init; }

        public string ContentType { get; init; } = "application/json";

        public string? IdempotencyKey { get; init; }

        public string? IfMatch { get; init; }

        public IReadOnlyList<(string Name, string Value)> Headers { get; init; } = [];

        public TimeSpan? Timeout { get; init; }

        /// <summary>Doing it twice is as good as once.</summary>
        public bool IsRepeatable => IdempotencyKey is not null || Headers.Any(header => header.Name == ProducerHeader) || (Method != HttpMethod.Post && Method != HttpMethod.Patch);

        public HttpRequestMessage ToRequest()
        {
            var request = new HttpRequestMessage(Method, Path);
            if (Body is not null)
            {
                request.Content = new ByteArrayContent(Body) { Headers = { ContentType = new MediaTypeHeaderValue(ContentType) } };
            }

            if (IdempotencyKey is not null)
            {
                request.Headers.TryAddWithoutValidation(IdempotencyKeyHeader, IdempotencyKey);
            }

            foreach (var (name, value) in Headers)
            {
                request.Headers.TryAddWithoutValidation(name, value);
            }

            if (IfMatch is not null)
            {
                request.Headers.TryAddWithoutValidation("If-Match", IfMatch);
            }

            return request;
        }
    }
}
