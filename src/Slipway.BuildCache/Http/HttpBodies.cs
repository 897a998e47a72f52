using System.Buffers;
using System.IO.Pipelines;
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
    /// Reads a body that fits into memory, for as long as the caller may be here. The buffer is rented as the bytes come: who only
    /// announces a megabyte makes the server hold none. The caller gives it back.
    /// </summary>
    /// <param name="room">Bytes to leave free behind the body.</param>
    public static async ValueTask<byte[]> ReadAsync(HttpContext http, BuildCacheAccess access, int length, int room = 0)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(Math.Max(1, Math.Min(length, FirstBytes) + room));
        var reader = http.Request.BodyReader;
        var cut = default(CancellationTokenRegistration);
        var isWatched = false;
        var at = 0;
        try
        {
            while (true)
            {
                // Most small bodies are here with their headers, and need no watching.
                if (!reader.TryRead(out var read))
                {
                    if (!isWatched)
                    {
                        isWatched = true;
                        cut = CutWhenEnded(reader, access);
                    }

                    read = await reader.ReadAsync(http.RequestAborted);
                }

                ThrowIfCut(reader, read);
                var piece = read.Buffer;
                var arrived = (int)piece.Length;
                if (at + arrived + room > buffer.Length)
                {
                    var larger = ArrayPool<byte>.Shared.Rent(Math.Max(at + arrived, Math.Min(length, 2 * buffer.Length)) + room);
                    buffer.AsSpan(0, at).CopyTo(larger);
                    ArrayPool<byte>.Shared.Return(buffer);
                    buffer = larger;
                }

                piece.CopyTo(buffer.AsSpan(at));
                at += arrived;
                reader.AdvanceTo(piece.End);
                if (read.IsCompleted)
                {
                    return buffer;
                }
            }
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(buffer);
            throw;
        }
        finally
        {
            cut.Dispose();
        }
    }

    /// <summary>
    /// The body piece by piece, for as long as the caller may be here; each is valid until the next. Kestrel sees to it that they add up
    /// to the announced length.
    /// </summary>
    public static async IAsyncEnumerable<ReadOnlyMemory<byte>> PiecesAsync(
        HttpContext http, BuildCacheAccess access, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var reader = http.Request.BodyReader;
        using var cut = CutWhenEnded(reader, access);
        while (true)
        {
            var read = await reader.ReadAsync(cancellationToken);
            ThrowIfCut(reader, read);
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

    /// <summary>What a transfer is refused with that was cancelled while the client is still there.</summary>
    public static ApiException Ended() => new(
        StatusCodes.Status401Unauthorized, ProblemCodes.CredentialRevoked, "The right to use this build cache has ended: the key was revoked or has expired, or the cache is gone.");

    /// <summary>Ends when the client leaves or its right to be here does: for downloads that take a while.</summary>
    public static CancellationTokenSource UntilEnded(HttpContext http, BuildCacheAccess access) =>
        CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, access.Ended);

    // Not by a token: Kestrel takes a read that was cancelled so for one under way, and can't read the rest away before it answers.
    private static CancellationTokenRegistration CutWhenEnded(PipeReader reader, BuildCacheAccess access) =>
        access.Ended.UnsafeRegister(static reader => ((PipeReader)reader!).CancelPendingRead(), reader);

    private static void ThrowIfCut(PipeReader reader, in ReadResult read)
    {
        if (read.IsCanceled)
        {
            reader.AdvanceTo(read.Buffer.Start);
            throw new OperationCanceledException("The caller's right has ended.");
        }
    }
}
