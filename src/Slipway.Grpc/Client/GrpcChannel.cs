using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;

namespace Slipway.Grpc;

/// <summary>
/// Calls methods of one server over HTTP/2: <c>http://</c> with prior knowledge, <c>https://</c> by ALPN. Thread-safe; one is enough
/// for a program. It connects with the first call, again when a connection is lost, and more than once when a connection is full.
/// </summary>
public sealed class GrpcChannel : IDisposable
{
    private readonly HttpMessageInvoker invoker;
    private readonly Uri address;
    private readonly GrpcChannelOptions options;

    public GrpcChannel(Uri address, GrpcChannelOptions? options = null)
    {
        if (address.Scheme is not ("http" or "https"))
        {
            throw new ArgumentException($"'{address}' is neither http nor https.", nameof(address));
        }

        this.address = address;
        this.options = options ??= new GrpcChannelOptions();
        invoker = new HttpMessageInvoker(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            UseCookies = false,
            UseProxy = false,
            ActivityHeadersPropagator = null,
            EnableMultipleHttp2Connections = true,
            ConnectTimeout = options.ConnectTimeout,
            KeepAlivePingDelay = options.KeepAlive,
            KeepAlivePingTimeout = TimeSpan.FromSeconds(20),
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
            PooledConnectionIdleTimeout = System.Threading.Timeout.InfiniteTimeSpan,
            SslOptions = options.Tls ?? new SslClientAuthenticationOptions(),
        });
    }

    /// <summary>
    /// Sends one message and gives the one that comes back. Throws <see cref="GrpcException"/> for every status but OK, and
    /// <see cref="OperationCanceledException"/> when <paramref name="cancellationToken"/> was.
    /// </summary>
    public async Task<byte[]> UnaryAsync(string path, ReadOnlyMemory<byte> request, GrpcCallOptions callOptions, CancellationToken cancellationToken)
    {
        var call = ServerStreaming(path, request, callOptions, cancellationToken);
        await using var _ = call.ConfigureAwait(false);
        return await call.ReadSingleAsync().ConfigureAwait(false);
    }

    /// <summary>Sends one message; read what comes back with <see cref="GrpcClientCall.ReadAsync"/>.</summary>
    public GrpcClientCall ServerStreaming(string path, ReadOnlyMemory<byte> request, GrpcCallOptions callOptions, CancellationToken cancellationToken) =>
        Start(path, new SingleMessageContent(request, callOptions.Gzip), callOptions, cancellationToken);

    /// <summary>
    /// Sends and reads any number of messages, in any order: client streaming (<see cref="GrpcClientCall.WriteAsync"/> …
    /// <see cref="GrpcClientCall.CompleteAsync"/>, <see cref="GrpcClientCall.ReadSingleAsync"/>) and bidirectional streaming.
    /// </summary>
    public GrpcClientCall Streaming(string path, GrpcCallOptions callOptions, CancellationToken cancellationToken) =>
        Start(path, new StreamingContent(callOptions.Gzip), callOptions, cancellationToken);

    public void Dispose() => invoker.Dispose();

    private GrpcClientCall Start(string path, HttpContent content, GrpcCallOptions callOptions, CancellationToken cancellationToken)
    {
        content.Headers.ContentType = new MediaTypeHeaderValue(GrpcEndpoint.ContentType);
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(address, path))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = content,
        };
        request.Headers.TE.Add(new TransferCodingWithQualityHeaderValue("trailers"));
        request.Headers.TryAddWithoutValidation("grpc-accept-encoding", "identity,gzip");
        if (callOptions.Gzip)
        {
            request.Headers.TryAddWithoutValidation("grpc-encoding", "gzip");
        }

        if (callOptions.Timeout is { } timeout)
        {
            request.Headers.TryAddWithoutValidation("grpc-timeout", GrpcTimeout.Format(timeout));
        }

        foreach (var (name, value) in callOptions.Metadata)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        return new GrpcClientCall(invoker, request, content as StreamingContent, callOptions.Timeout, options, cancellationToken);
    }
}
