using System.Buffers;
using Microsoft.AspNetCore.Http;
using Slipway.Api;
using Slipway.BuildCache.Namespaces;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Http;

/// <summary>Bodies of uploads: how long they may be, and how they are read.</summary>
internal static class HttpBodies
{
    /// <summary>What a body is given to begin with: most objects of these tools are smaller.</summary>
    private const int FirstBytes = 64 << 10;

    /// <summary>The announced length, which every one of these tools sends: it decides where the bytes go before they come.</summary>
    public static long AnnouncedLength(HttpContext http, BuildCacheAccess access)
    {
        if (http.Request.Headers.ContentEncoding is { Count: > 0 } encoding && encoding != "identity")
        {
            throw new ApiException(415, ProblemCodes.UnsupportedMediaType, $"The body came with Content-Encoding: {encoding}.", "Send the bytes as they are to be stored.");
        }

        var length = http.Request.ContentLength
            ?? throw new ApiException(411, ProblemCodes.InvalidRequest, "An upload has to say how long it is.", "Send Content-Length.");
        return length <= access.Cache.MaxBlobBytes
            ? length
            : throw new ApiException(413, ProblemCodes.TooLarge, $"The upload has {length:N0} bytes; {access.Cache.FullName} takes up to {access.Cache.MaxBlobBytes:N0} at once.");
    }

    /// <summary>
    /// Reads a body that fits into memory. The buffer is rented as the bytes come: who only announces a megabyte makes the server hold
    /// none. The caller gives it back.
    /// </summary>
    /// <param name="room">Bytes to leave free behind the body.</param>
    public static async ValueTask<byte[]> ReadAsync(HttpContext http, int length, int room = 0)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(Math.Max(1, Math.Min(length, FirstBytes) + room));
        var at = 0;
        try
        {
            await foreach (var piece in PiecesAsync(http, http.RequestAborted))
            {
                if (at + piece.Length + room > buffer.Length)
                {
                    var larger = ArrayPool<byte>.Shared.Rent(Math.Max(at + piece.Length, Math.Min(length, 2 * buffer.Length)) + room);
                    buffer.AsSpan(0, at).CopyTo(larger);
                    ArrayPool<byte>.Shared.Return(buffer);
                    buffer = larger;
                }

                piece.CopyTo(buffer.AsMemory(at));
                at += piece.Length;
            }

            return buffer;
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(buffer);
            throw;
        }
    }

    /// <summary>The body piece by piece; each is valid until the next. Kestrel sees to it that they add up to the announced length.</summary>
    public static async IAsyncEnumerable<ReadOnlyMemory<byte>> PiecesAsync(HttpContext http, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var reader = http.Request.BodyReader;
        while (true)
        {
            var read = await reader.ReadAsync(cancellationToken);
            foreach (var piece in read.Buffer)
            {
                yield return piece;
            }

            reader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
            {
                yield break;
            }
        }
    }

    /// <summary>Ends when the client leaves or its right to be here does: for transfers that take a while.</summary>
    public static CancellationTokenSource UntilEnded(HttpContext http, BuildCacheAccess access) =>
        CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, access.Ended);
}
