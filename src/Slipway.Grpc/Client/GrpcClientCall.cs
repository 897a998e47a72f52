using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Http.Headers;

namespace Slipway.Grpc;

/// <summary>
/// One call under way. One writer and one reader at a time; both may go on at once. Dispose it: that cancels what is not finished.
/// </summary>
public sealed class GrpcClientCall : IAsyncDisposable
{
    private readonly HttpRequestMessage request;
    private readonly StreamingContent? content;
    private readonly GrpcChannelOptions options;
    private readonly CancellationToken callerToken;
    private readonly CancellationTokenSource ending;
    private readonly CancellationTokenRegistration callerCancels;
    private readonly Task<HttpResponseMessage> sending;
    private PipeReader? pipe;
    private MessageReader? reader;
    // Read by the thread that writes as well.
    private volatile bool isFinished;

    internal GrpcClientCall(
        HttpMessageInvoker invoker, HttpRequestMessage request, StreamingContent? content, TimeSpan? timeout, GrpcChannelOptions options, CancellationToken cancellationToken)
    {
        this.request = request;
        this.content = content;
        this.options = options;
        callerToken = cancellationToken;
        ending = timeout is { } limit
            ? new CancellationTokenSource(limit > TimeSpan.Zero ? TimeSpan.FromMilliseconds(Math.Min(Math.Ceiling(limit.TotalMilliseconds), uint.MaxValue - 1)) : TimeSpan.Zero, options.Time)
            : new CancellationTokenSource();
        callerCancels = cancellationToken.UnsafeRegister(static source => ((CancellationTokenSource)source!).Cancel(), ending);
        sending = SendAsync(invoker);
    }

    /// <summary>What the server sends after its last message, once <see cref="ReadAsync"/> gave null or threw.</summary>
    public HttpResponseHeaders? Trailers { get; private set; }

    /// <summary>The server's metadata. Waits for it; throws as <see cref="ReadAsync"/> does when the call fails before.</summary>
    public async Task<HttpResponseHeaders> GetHeadersAsync() => (await ResponseAsync().ConfigureAwait(false)).Headers;

    /// <summary>The values of a <c>…-bin</c> key, decoded.</summary>
    public static IEnumerable<byte[]> DecodeBinary(HttpResponseHeaders headers, string name) =>
        headers.TryGetValues(name, out var values) ? BinaryMetadata.DecodeAll(values.ToArray()) : [];

    /// <summary>
    /// Sends one message, and waits while the server takes no more. False when the call is over already: <see cref="ReadAsync"/> says how
    /// it ended.
    /// </summary>
    public async ValueTask<bool> WriteAsync(ReadOnlyMemory<byte> message)
    {
        var stream = content ?? throw new InvalidOperationException("The one message of this call is sent already.");
        if (isFinished)
        {
            // The status can be here before the reset that makes the stream refuse what is written.
            return false;
        }

        try
        {
            await stream.WriteAsync(message, ending.Token).ConfigureAwait(false);
            return true;
        }
        catch (Exception failure) when (failure is IOException or HttpRequestException or OperationCanceledException or ObjectDisposedException)
        {
            return callerToken.IsCancellationRequested ? throw StatusOf(failure) : false;
        }
    }

    /// <summary>Says that no more messages will be written.</summary>
    public ValueTask CompleteAsync()
    {
        content?.Complete();
        return ValueTask.CompletedTask;
    }

    /// <summary>
    /// The next message, valid until the next read; null after the last one of a call that ended with OK. Throws
    /// <see cref="GrpcException"/> for every other end and <see cref="OperationCanceledException"/> when the caller's token was cancelled.
    /// </summary>
    public async ValueTask<ReadOnlySequence<byte>?> ReadAsync()
    {
        if (isFinished)
        {
            return null;
        }

        var response = await ResponseAsync().ConfigureAwait(false);
        if (isFinished)
        {
            // OK with nothing before it: the status came with the headers.
            return null;
        }

        try
        {
            if (await (await ReaderAsync(response).ConfigureAwait(false)).ReadAsync(ending.Token).ConfigureAwait(false) is { } message)
            {
                return message;
            }
        }
        catch (Exception failure) when (failure is not GrpcException)
        {
            throw StatusOf(failure);
        }

        isFinished = true;
        Trailers = response.TrailingHeaders;
        ThrowUnlessOk(response.TrailingHeaders, "The server ended the call without a status.");
        return null;
    }

    /// <summary>The only message of the server, and the end of the call.</summary>
    public async Task<byte[]> ReadSingleAsync()
    {
        var message = await ReadAsync().ConfigureAwait(false) is { } first
            ? first.ToArray()
            : throw new GrpcException(GrpcStatus.Internal, "The server ended a call of one answer with OK, but without an answer.");
        return await ReadAsync().ConfigureAwait(false) is null
            ? message
            : throw new GrpcException(GrpcStatus.Internal, "The server sent a second answer to a call of one answer.");
    }

    public async ValueTask DisposeAsync()
    {
        content?.Fail(new OperationCanceledException("The call was disposed."));
        if (!isFinished)
        {
            await ending.CancelAsync().ConfigureAwait(false);
        }

        await ((Task)sending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        reader?.Release();
        pipe?.Complete();
        if (sending.IsCompletedSuccessfully)
        {
            sending.Result.Dispose();
        }

        request.Dispose();
        await callerCancels.DisposeAsync().ConfigureAwait(false);
        ending.Dispose();
    }

    private async Task<HttpResponseMessage> SendAsync(HttpMessageInvoker invoker)
    {
        try
        {
            return await invoker.SendAsync(request, ending.Token).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            content?.Fail(failure);
            throw;
        }
    }

    private async ValueTask<HttpResponseMessage> ResponseAsync()
    {
        HttpResponseMessage response;
        try
        {
            response = await sending.ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            throw StatusOf(failure);
        }

        if (response.Headers.Contains("grpc-status"))
        {
            isFinished = true;
            Trailers = response.Headers;
            ThrowUnlessOk(response.Headers, "");
        }

        if (response.StatusCode != HttpStatusCode.OK || !GrpcEndpoint.IsGrpc(response.Content.Headers.ContentType?.ToString()))
        {
            isFinished = true;
            await ending.CancelAsync().ConfigureAwait(false);
            throw NotGrpc(response);
        }

        return response;
    }

    private async ValueTask<MessageReader> ReaderAsync(HttpResponseMessage response)
    {
        if (reader is null)
        {
            var stream = await response.Content.ReadAsStreamAsync(ending.Token).ConfigureAwait(false);
            var encoding = response.Headers.TryGetValues("grpc-encoding", out var values) ? values.First() : null;
            // 64 KiB: four frames of the usual size for each read of the stream.
            pipe = PipeReader.Create(stream, new StreamPipeReaderOptions(bufferSize: 64 * 1024));
            reader = new MessageReader(pipe, options.MaxMessageBytes, encoding, budget: null);
        }

        return reader;
    }

    private static void ThrowUnlessOk(HttpResponseHeaders headers, string missing)
    {
        if (!headers.TryGetValues("grpc-status", out var values) || !int.TryParse(values.First(), out var number))
        {
            throw new GrpcException(GrpcStatus.Unknown, missing.Length > 0 ? missing : "The server's grpc-status is no number.");
        }

        if (number == 0)
        {
            return;
        }

        var message = headers.TryGetValues("grpc-message", out var texts) ? PercentEncoding.Decode(texts.First()) : "";
        var details = DecodeBinary(headers, StatusTrailers.DetailsName).Select(bytes => StatusTrailers.DecodeDetails(bytes)).FirstOrDefault() ?? [];
        throw new GrpcException(number is > 0 and <= 16 ? (GrpcStatus)number : GrpcStatus.Unknown, message, details);
    }

    // https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
    private static GrpcException NotGrpc(HttpResponseMessage response) => new(
        response.StatusCode switch
        {
            HttpStatusCode.BadRequest => GrpcStatus.Internal,
            HttpStatusCode.Unauthorized => GrpcStatus.Unauthenticated,
            HttpStatusCode.Forbidden => GrpcStatus.PermissionDenied,
            HttpStatusCode.NotFound => GrpcStatus.Unimplemented,
            HttpStatusCode.TooManyRequests or HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout => GrpcStatus.Unavailable,
            _ => GrpcStatus.Unknown,
        },
        $"The server answered with HTTP status {(int)response.StatusCode} and {response.Content.Headers.ContentType?.ToString() ?? "no content type"}, which is not gRPC.");

    private Exception StatusOf(Exception failure)
    {
        isFinished = true;
        if (failure is GrpcException)
        {
            return failure;
        }

        if (callerToken.IsCancellationRequested)
        {
            return new OperationCanceledException("The call was cancelled.", failure, callerToken);
        }

        if (ending.IsCancellationRequested)
        {
            return new GrpcException(GrpcStatus.DeadlineExceeded, "The deadline of the call passed before it was done.", failure);
        }

        for (var inner = failure; inner is not null; inner = inner.InnerException)
        {
            if (inner is HttpProtocolException protocol)
            {
                return new GrpcException(StatusOfReset(protocol.ErrorCode), $"The server reset the call: {protocol.Message}", failure);
            }
        }

        return new GrpcException(GrpcStatus.Unavailable, $"The server can't be reached: {failure.Message}", failure);
    }

    // https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Errors"
    private static GrpcStatus StatusOfReset(long code) => code switch
    {
        7 => GrpcStatus.Unavailable,
        8 => GrpcStatus.Cancelled,
        11 => GrpcStatus.ResourceExhausted,
        12 => GrpcStatus.PermissionDenied,
        _ => GrpcStatus.Internal,
    };
}
