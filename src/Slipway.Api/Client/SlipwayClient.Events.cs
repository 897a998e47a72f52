using System.Globalization;
using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Slipway.Api.Client;

/// <content>Events, their live stream, and the check of their chain. A null org is the server's own chain.</content>
public sealed partial class SlipwayClient
{
    /// <summary>The server sends a heartbeat each 15 s; three missed ones mean the connection is dead.</summary>
    private static readonly TimeSpan StreamSilence = TimeSpan.FromSeconds(45);

    public IAsyncEnumerable<Event> ListEventsAsync(string? org, long after, CancellationToken cancellationToken) =>
        ListAsync(EventsRoute(org), after > 0 ? string.Create(CultureInfo.InvariantCulture, $"after={after}") : null, Json.PageEvent, cancellationToken);

    public Task<AuditVerification> VerifyAuditAsync(string? org, CancellationToken cancellationToken) =>
        GetAsync(org is null ? Routes.ServerAudit : RouteTemplate.Fill(Routes.OrgAudit, org), Json.AuditVerification, cancellationToken);

    /// <summary>
    /// Events after <paramref name="after"/> as they happen, for ever: a stream that ends or breaks is opened again with
    /// <c>Last-Event-ID</c>, so none is missed or shown twice. Gives up after <see cref="SlipwayClientOptions.MaxTries"/> failures in a row.
    /// </summary>
    public async IAsyncEnumerable<Event> TailEventsAsync(string org, long? after, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var last = after;
        var failures = 0;
        while (true)
        {
            Exception? failure = null;
            await using var stream = StreamOnceAsync(org, last, cancellationToken).GetAsyncEnumerator(cancellationToken);
            while (true)
            {
                try
                {
                    if (!await stream.MoveNextAsync())
                    {
                        break;
                    }
                }
                catch (Exception exception) when (exception is HttpRequestException or IOException or OperationCanceledException)
                {
                    cancellationToken.ThrowIfCancellationRequested();
                    failure = Unreachable(exception);
                    break;
                }
                catch (SlipwayApiException exception) when (exception.Problem.Status is 429 or 502 or 503 or 504)
                {
                    failure = exception;
                    break;
                }

                failures = 0;
                last = stream.Current.Seq;
                yield return stream.Current;
            }

            // A stream that ended in order (a drain, the hour's end) is opened again too, but never in a spin.
            failure ??= new SlipwayUnreachableException(options.Url, UnreachableReason.Cut, "the server ended the stream");
            if (++failures >= options.MaxTries)
            {
                throw failure;
            }

            await WaitAsync(failures, failure, cancellationToken);
        }
    }

    private async IAsyncEnumerable<Event> StreamOnceAsync(string org, long? after, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timer = options.Time.CreateTimer(static state => ((CancellationTokenSource)state!).Cancel(), silence, StreamSilence, Timeout.InfiniteTimeSpan);
        using var request = new HttpRequestMessage(HttpMethod.Get, RouteTemplate.Fill(Routes.OrgEventStream, org));
        request.Headers.TryAddWithoutValidation("Accept", "text/event-stream");
        if (after is { } seq)
        {
            request.Headers.TryAddWithoutValidation("Last-Event-ID", seq.ToString(CultureInfo.InvariantCulture));
        }

        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, silence.Token);
        if (!response.IsSuccessStatusCode)
        {
            throw await ProblemOfAsync(response, silence.Token);
        }

        await using var body = new NotingStream(
            await response.Content.ReadAsStreamAsync(silence.Token), () => timer.Change(StreamSilence, Timeout.InfiniteTimeSpan));
        var parser = SseParser.Create(body, static (_, data) => data.Length == 0 ? null : JsonSerializer.Deserialize(data, Json.Event));
        await foreach (var item in parser.EnumerateAsync(silence.Token))
        {
            // Heartbeats and the end-of-stream event carry no entry.
            if (item.Data is { } entry)
            {
                yield return entry;
            }
        }
    }

    private static string EventsRoute(string? org) => org is null ? Routes.ServerEvents : RouteTemplate.Fill(Routes.OrgEvents, org);

    /// <summary>Tells of every read, heartbeat comments included, which the parser swallows.</summary>
    private sealed class NotingStream(Stream inner, Action onRead) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var read = await inner.ReadAsync(buffer, cancellationToken);
            onRead();
            return read;
        }

        public override int Read(byte[] buffer, int offset, int count) => inner.Read(buffer, offset, count);

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override async ValueTask DisposeAsync() => await inner.DisposeAsync();
    }
}
