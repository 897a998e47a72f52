using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Wire;
using Slipway.Content;

namespace Slipway.BuildCache.Assets;

/// <summary>A download that can't be had, for a reason that is not ours.</summary>
internal sealed class AssetRefusedException(Grpc.GrpcStatus status, string message) : Exception(message)
{
    public Grpc.GrpcStatus Status { get; } = status;
}

/// <summary>Fetches a file by HTTP(S) into a space: only from hosts that the build cache names, and only from public addresses.</summary>
/// <remarks>
/// <code>
/// URI ─ scheme, host on the list ─▶ resolved ─ every address public ─▶ connected to that very address ─▶ redirect? from the start
/// </code>
/// </remarks>
internal sealed class AssetDownloader : IDisposable
{
    /// <summary>Mirrors redirect once or twice; browsers give up at 20.</summary>
    private const int MostRedirects = 5;

    /// <summary>Downloads at once on this server; others wait their turn.</summary>
    private const int MostAtOnce = 16;

    private const int BlockSize = 128 * 1024;

    private readonly SemaphoreSlim slots = new(MostAtOnce);
    private readonly HttpMessageInvoker client;

    /// <param name="mayConnect">Which addresses may be connected to; <see cref="PublicAddresses.Contains"/> outside of tests.</param>
    public AssetDownloader(Func<IPAddress, bool> mayConnect)
    {
        client = new HttpMessageInvoker(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            // A proxy would resolve the name once more, and perhaps to something else.
            UseProxy = false,
            AutomaticDecompression = DecompressionMethods.None,
            ConnectTimeout = TimeSpan.FromSeconds(15),
            PooledConnectionLifetime = TimeSpan.FromMinutes(1),
            MaxResponseHeadersLength = 64,
            ConnectCallback = (context, cancellationToken) => ConnectAsync(context.DnsEndPoint, mayConnect, cancellationToken),
        });
    }

    public static bool IsAllowed(IReadOnlyList<string> hosts, string host) => hosts.Any(allowed =>
        allowed.StartsWith("*.", StringComparison.Ordinal)
            ? host.EndsWith(allowed[1..], StringComparison.OrdinalIgnoreCase) && host.Length > allowed.Length - 1
            : host.Equals(allowed, StringComparison.OrdinalIgnoreCase));

    /// <summary>Downloads into the space and gives the digest. The blob is not on the disk yet: see <see cref="ContentSpace.SyncAsync"/>.</summary>
    /// <param name="integrity">A subresource integrity text (<c>sha256-…</c>) the file has to agree with; null when there is none.</param>
    /// <exception cref="AssetRefusedException">The origin refused, or sent something else.</exception>
    public async Task<BlobDigest> DownloadAsync(
        ContentSpace space, BlobKind kind, Uri uri, IReadOnlyList<string> hosts, long maxBytes, string? integrity, CancellationToken cancellationToken)
    {
        using var check = integrity is null ? null : new IntegrityCheck(integrity);
        await slots.WaitAsync(cancellationToken);
        try
        {
            using var response = await GetAsync(uri, hosts, cancellationToken);
            if (response.Content.Headers.ContentLength > maxBytes)
            {
                throw TooLarge(maxBytes);
            }

            await using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
            return await StoreAsync(space, kind, body, maxBytes, check, cancellationToken);
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException)
        {
            throw new AssetRefusedException(Grpc.GrpcStatus.Unavailable, $"{uri.Host} can't be reached, or broke off: {exception.Message}");
        }
        finally
        {
            slots.Release();
        }
    }

    public void Dispose()
    {
        client.Dispose();
        slots.Dispose();
    }

    private async Task<HttpResponseMessage> GetAsync(Uri uri, IReadOnlyList<string> hosts, CancellationToken cancellationToken)
    {
        for (var redirects = 0; redirects <= MostRedirects; redirects++)
        {
            if (uri.Scheme is not ("http" or "https") || !IsAllowed(hosts, uri.IdnHost) || uri.UserInfo.Length > 0)
            {
                throw new AssetRefusedException(
                    Grpc.GrpcStatus.PermissionDenied, $"Assets may not be fetched from {uri.Scheme}://{uri.Host}: it is not among the asset hosts of this build cache.");
            }

            using var request = new HttpRequestMessage(HttpMethod.Get, uri);
            request.Headers.TryAddWithoutValidation("User-Agent", "slipway");
            var response = await client.SendAsync(request, cancellationToken);
            if (response.StatusCode == HttpStatusCode.OK)
            {
                return response;
            }

            using (response)
            {
                if ((int)response.StatusCode is 301 or 302 or 303 or 307 or 308 && response.Headers.Location is { } location)
                {
                    var next = new Uri(uri, location);
                    if (uri.Scheme == "https" && next.Scheme != "https")
                    {
                        throw new AssetRefusedException(Grpc.GrpcStatus.PermissionDenied, $"{uri.Host} redirects from https to {next.Scheme}.");
                    }

                    uri = next;
                    continue;
                }

                throw new AssetRefusedException(
                    response.StatusCode switch
                    {
                        HttpStatusCode.NotFound or HttpStatusCode.Gone => Grpc.GrpcStatus.NotFound,
                        HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden => Grpc.GrpcStatus.PermissionDenied,
                        _ => Grpc.GrpcStatus.Unavailable,
                    },
                    $"{uri.Host} answered {(int)response.StatusCode}.");
            }
        }

        throw new AssetRefusedException(Grpc.GrpcStatus.Aborted, $"More than {MostRedirects} redirects, the last to {uri.Host}.");
    }

    private static async Task<BlobDigest> StoreAsync(
        ContentSpace space, BlobKind kind, Stream body, long maxBytes, IntegrityCheck? check, CancellationToken cancellationToken)
    {
        using var hash = BlobHash.Rent(kind);
        var buffer = ArrayPool<byte>.Shared.Rent(ContentSpace.MaxSmall + 1);
        LargeUpload? large = null;
        try
        {
            long size = 0;
            var filled = 0;
            while (true)
            {
                var room = large is null ? ContentSpace.MaxSmall + 1 - filled : BlockSize;
                var read = await body.ReadAsync(buffer.AsMemory(filled, room), cancellationToken);
                if (read == 0)
                {
                    break;
                }

                var piece = buffer.AsMemory(filled, read);
                size += read;
                if (size > maxBytes)
                {
                    throw TooLarge(maxBytes);
                }

                hash.Append(piece.Span);
                check?.Append(piece.Span);
                if (large is not null)
                {
                    await large.WriteAsync(piece, cancellationToken);
                    continue;
                }

                filled += read;
                if (filled > ContentSpace.MaxSmall)
                {
                    large = space.BeginLarge(resumeName: null);
                    await large.WriteAsync(buffer.AsMemory(0, filled), cancellationToken);
                    filled = 0;
                }
            }

            check?.Verify();
            var digest = new BlobDigest(new BlobKey(kind, hash.Finish()), size);
            if (large is not null)
            {
                await large.CommitAsync(digest.Key, BlobCodec.Raw, size, Durability.Written, cancellationToken);
            }
            else if (size > 0)
            {
                await space.PutAsync(digest.Key, buffer.AsMemory(0, filled), BlobCodec.Raw, filled, Durability.Written, cancellationToken);
            }

            return digest;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
            if (large is not null)
            {
                await large.DisposeAsync();
            }
        }
    }

    private static async ValueTask<Stream> ConnectAsync(DnsEndPoint endPoint, Func<IPAddress, bool> mayConnect, CancellationToken cancellationToken)
    {
        var addresses = IPAddress.TryParse(endPoint.Host, out var literal) ? [literal] : await Dns.GetHostAddressesAsync(endPoint.Host, cancellationToken);
        // One that isn't is a rebinding attack, or a name that lives in two worlds.
        if (addresses.Length == 0 || !Array.TrueForAll(addresses, address => mayConnect(address)))
        {
            throw new HttpRequestException($"{endPoint.Host} has no address, or one that is not of the public internet");
        }

        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(addresses, endPoint.Port, cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static AssetRefusedException TooLarge(long maxBytes) =>
        new(Grpc.GrpcStatus.ResourceExhausted, $"The file is larger than the {maxBytes} bytes that blobs of this build cache may have.");

    /// <summary>A subresource integrity text: <c>sha256-</c>, <c>sha384-</c> or <c>sha512-</c> and the hash in base64.</summary>
    private sealed class IntegrityCheck : IDisposable
    {
        private readonly IncrementalHash hash;
        private readonly byte[] expected;
        private readonly string text;

        public IntegrityCheck(string text)
        {
            this.text = text;
            var dash = text.IndexOf('-', StringComparison.Ordinal);
            var name = text[..Math.Max(0, dash)] switch
            {
                "sha256" => HashAlgorithmName.SHA256,
                "sha384" => HashAlgorithmName.SHA384,
                "sha512" => HashAlgorithmName.SHA512,
                _ => throw Malformed(),
            };
            expected = new byte[HashAlgorithmName.SHA256 == name ? 32 : HashAlgorithmName.SHA384 == name ? 48 : 64];
            if (!Convert.TryFromBase64String(text[(dash + 1)..], expected, out var length) || length != expected.Length)
            {
                throw Malformed();
            }

            hash = IncrementalHash.CreateHash(name);
        }

        public void Append(ReadOnlySpan<byte> bytes) => hash.AppendData(bytes);

        public void Verify()
        {
            if (!CryptographicOperations.FixedTimeEquals(hash.GetHashAndReset(), expected))
            {
                throw new AssetRefusedException(Grpc.GrpcStatus.Aborted, $"The file does not agree with checksum.sri {text}.");
            }
        }

        public void Dispose() => hash.Dispose();

        private static WireFormatException Malformed() => new("checksum.sri is not sha256-, sha384- or sha512- and a hash in base64.");
    }
}
