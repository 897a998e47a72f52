using Microsoft.AspNetCore.Http;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Namespaces;
using Slipway.Content;

namespace Slipway.BuildCache.Http;

/// <summary>
/// Answers with the bytes of a blob: small ones go from the segment straight into the response's memory, large ones from file to
/// socket (the server's transport makes it sendfile(2)).
/// </summary>
internal static class BlobAnswer
{
    /// <summary>Bytes of a large blob that is not in a local file, or is compressed, moved at a time.</summary>
    private const int BlockBytes = 128 << 10;

    /// <summary>Sends the first <paramref name="length"/> bytes of a blob. False, with nothing sent, when it is gone or rotten.</summary>
    public static async ValueTask<bool> SendAsync(HttpContext http, BuildCacheAccess access, BlobInfo info, long length)
    {
        var response = http.Response;
        response.ContentLength = length;
        if (HttpMethods.IsHead(http.Request.Method) || length == 0)
        {
            return true;
        }

        if (!info.IsLarge)
        {
            // What stands behind the length is read too, and not sent.
            var memory = response.BodyWriter.GetMemory((int)info.Length)[..(int)info.Length];
            if (!await BlobReading.ReadAsync(access.Space, info, memory, http.RequestAborted))
            {
                return false;
            }

            response.BodyWriter.Advance((int)length);
            await response.BodyWriter.FlushAsync(http.RequestAborted);
            return true;
        }

        using var whileAllowed = HttpBodies.UntilEnded(http, access);
        if (info.Codec == BlobCodec.Raw)
        {
            await using var reader = await access.Space.OpenAsync(info, whileAllowed.Token);
            if (reader is null)
            {
                return false;
            }

            if (reader.File is { } file)
            {
                await response.SendFileAsync(file.Path, file.Offset, length, whileAllowed.Token);
                return true;
            }
        }

        await using var blob = await DecodedBlob.OpenAsync(access.Space, info, whileAllowed.Token);
        if (blob is null)
        {
            return false;
        }

        await CopyAsync(http, blob, length, whileAllowed.Token);
        return true;
    }

    private static async Task CopyAsync(HttpContext http, DecodedBlob blob, long length, CancellationToken cancellationToken)
    {
        var writer = http.Response.BodyWriter;
        while (length > 0)
        {
            var block = writer.GetMemory(BlockBytes);
            var read = await blob.ReadAsync(block[..(int)Math.Min(block.Length, length)], cancellationToken);
            if (read == 0)
            {
                // Ending it cleanly would pass half a blob for a whole one.
                http.Abort();
                return;
            }

            writer.Advance(read);
            length -= read;
            await writer.FlushAsync(cancellationToken);
        }
    }
}
