using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Microsoft.AspNetCore.Http;
using Slipway.Api;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Namespaces;
using Slipway.Content;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Http;

/// <summary>What is stored of an object beside its bytes: a few header values, in the order they came.</summary>
internal sealed class ObjectHeaders : List<(string Name, string Value)>
{
    /// <summary>The most they may take: Turborepo's tag has up to 600 characters, and it is by far the longest.</summary>
    public const int LongestText = 4096;
}

/// <summary>
/// Objects under keys that a tool has chosen: the last write wins. One blob of the space holds an object whole.
/// </summary>
/// <remarks>
/// <code>
/// the tool's bytes │ "name: value\n" … │ length of those lines, 2 bytes little-endian
/// </code>
/// The lines stand behind the bytes so that the bytes can be sent from where they lie, and with them so that a reader never sees
/// the bytes of one upload with the headers of another.
/// </remarks>
internal sealed class KeyedObjects(IRequestLog log, TimeProvider time)
{
    private const int TailLength = sizeof(ushort);

    /// <summary>Where the object of a tool lies; <paramref name="key"/> is the tool's own word for it.</summary>
    /// <remarks>The parts have no NUL, so no two lists of parts give the same hash.</remarks>
    public static BlobKey KeyOf(BuildCacheAccess access, string tool, string key) =>
        new(BlobKind.Named, Digest.Of(Encoding.UTF8.GetBytes($"{tool}\0{access.Sub}\0{key}")));

    /// <summary>Answers GET and HEAD. False, with nothing sent, on a miss.</summary>
    /// <param name="describe">Called with the object's headers before anything is sent.</param>
    /// <param name="notesMiss">False for who takes note of the miss with more to say.</param>
    public async ValueTask<bool> SendAsync(
        HttpContext http, BuildCacheAccess access, BlobKey key, string contentType, Action<ObjectHeaders>? describe = null, bool notesMiss = true)
    {
        var started = time.GetTimestamp();
        if (!access.Space.TryFind(key, out var info))
        {
            if (notesMiss)
            {
                Note(http, access, RequestKind.ActionMiss, started, 0, MissReason.Absent);
            }

            return false;
        }

        access.Space.Touch(key, info.Length);
        http.Response.ContentType = contentType;
        var sent = info.IsLarge || HttpMethods.IsHead(http.Request.Method)
            ? await SendLargeAsync(http, access, info, describe)
            : await SendSmallAsync(http, access, info, describe);
        if (sent is not { } length)
        {
            http.Response.Clear();
            if (notesMiss)
            {
                Note(http, access, RequestKind.ActionMiss, started, 0, MissReason.Unreadable);
            }

            return false;
        }

        Note(http, access, RequestKind.ActionHit, started, HttpMethods.IsHead(http.Request.Method) ? 0 : length);
        return true;
    }

    /// <summary>The length and headers of an object, which counts as used then; null when it isn't here.</summary>
    public async ValueTask<(BlobInfo Info, long Length, ObjectHeaders Headers)?> FindAsync(BuildCacheAccess access, BlobKey key, CancellationToken cancellationToken)
    {
        if (!access.Space.TryFind(key, out var info) || await ReadTailAsync(access.Space, info, cancellationToken) is not { } tail)
        {
            return null;
        }

        access.Space.Touch(key, info.Length);
        return (info, info.Length - tail.Length, tail.Headers);
    }

    /// <summary>The bytes of an object that is known to fit into memory; null when it isn't here.</summary>
    public async ValueTask<byte[]?> ReadAsync(BuildCacheAccess access, BlobKey key, CancellationToken cancellationToken)
    {
        if (!access.Space.TryFind(key, out var info))
        {
            return null;
        }

        var whole = new byte[info.Length];
        return await BlobReading.ReadAsync(access.Space, info, whole, cancellationToken) && Parse(whole) is { } tail ? whole[..^tail.Length] : null;
    }

    /// <summary>Reads all of a small object into the response's memory, and sends of it what comes before the lines.</summary>
    private static async ValueTask<long?> SendSmallAsync(HttpContext http, BuildCacheAccess access, BlobInfo info, Action<ObjectHeaders>? describe)
    {
        var writer = http.Response.BodyWriter;
        var whole = writer.GetMemory((int)info.Length)[..(int)info.Length];
        if (!await BlobReading.ReadAsync(access.Space, info, whole, http.RequestAborted) || Parse(whole.Span) is not { } tail)
        {
            return null;
        }

        var length = whole.Length - tail.Length;
        describe?.Invoke(tail.Headers);
        http.Response.ContentLength = length;
        writer.Advance(length);
        await writer.FlushAsync(http.RequestAborted);
        return length;
    }

    private static async ValueTask<long?> SendLargeAsync(HttpContext http, BuildCacheAccess access, BlobInfo info, Action<ObjectHeaders>? describe)
    {
        if (await ReadTailAsync(access.Space, info, http.RequestAborted) is not { } tail)
        {
            return null;
        }

        describe?.Invoke(tail.Headers);
        var length = info.Length - tail.Length;
        return await BlobAnswer.SendAsync(http, access, info, length) ? length : null;
    }

    /// <summary>Stores the body of a request under a key. It is there for others, whole, when this returns.</summary>
    /// <param name="sha256">What the bytes have to hash to, when the tool says so.</param>
    public async Task PutAsync(HttpContext http, BuildCacheAccess access, BlobKey key, ObjectHeaders headers, Digest? sha256 = null)
    {
        var started = time.GetTimestamp();
        var length = HttpBodies.AnnouncedLength(http, access);
        var tail = Encode(headers);
        if (length + tail.Length <= ContentSpace.MaxSmall)
        {
            await PutSmallAsync(http, access, key, (int)length, tail, sha256);
        }
        else
        {
            await PutLargeAsync(http, access, key, length, tail, sha256);
        }

        Note(http, access, RequestKind.ActionWrite, started, length);
    }

    /// <summary>Stores bytes that are in memory already.</summary>
    public async Task PutAsync(BuildCacheAccess access, BlobKey key, ReadOnlyMemory<byte> bytes)
    {
        var tail = Encode([]);
        var whole = bytes.Length + tail.Length;
        if (whole <= ContentSpace.MaxSmall)
        {
            var buffer = ArrayPool<byte>.Shared.Rent(whole);
            try
            {
                bytes.Span.CopyTo(buffer);
                tail.CopyTo(buffer.AsSpan(bytes.Length));
                await access.Space.PutAsync(key, buffer.AsMemory(0, whole), BlobCodec.Raw, whole, Durability.Written, CancellationToken.None);
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(buffer);
            }

            return;
        }

        await using var upload = access.Space.BeginLarge(null);
        await upload.WriteAsync(bytes, CancellationToken.None);
        await upload.WriteAsync(tail, CancellationToken.None);
        await upload.CommitAsync(key, BlobCodec.Raw, whole, Durability.Written, CancellationToken.None);
    }

    private static async Task PutSmallAsync(HttpContext http, BuildCacheAccess access, BlobKey key, int length, byte[] tail, Digest? sha256)
    {
        var buffer = await HttpBodies.ReadAsync(http, access, length, room: tail.Length);
        try
        {
            Verify(sha256, sha256 is null ? default : Digest.Of(buffer.AsSpan(0, length)));
            tail.CopyTo(buffer.AsSpan(length));
            var whole = length + tail.Length;
            // Not the request's token: bytes that have arrived are kept even if the client has gone, and the buffer must not go back before.
            await access.Space.PutAsync(key, buffer.AsMemory(0, whole), BlobCodec.Raw, whole, Durability.Written, CancellationToken.None);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static async Task PutLargeAsync(HttpContext http, BuildCacheAccess access, BlobKey key, long length, byte[] tail, Digest? sha256)
    {
        await using var upload = access.Space.BeginLarge(null);
        using var hash = BlobHash.Rent(BlobKind.Sha256);
        await foreach (var piece in HttpBodies.PiecesAsync(http, access, http.RequestAborted))
        {
            if (sha256 is not null)
            {
                hash.Append(piece.Span);
            }

            await upload.WriteAsync(piece, http.RequestAborted);
        }

        Verify(sha256, sha256 is null ? default : hash.Finish());
        await upload.WriteAsync(tail, http.RequestAborted);
        await upload.CommitAsync(key, BlobCodec.Raw, length + tail.Length, Durability.Written, http.RequestAborted);
    }

    private static void Verify(Digest? expected, Digest actual)
    {
        if (expected is { } digest && digest != actual)
        {
            throw new ApiException(400, ProblemCodes.InvalidRequest, $"The body's SHA-256 is {actual}, not {digest}. Nothing was stored.");
        }
    }

    private static byte[] Encode(ObjectHeaders headers)
    {
        var text = string.Concat(headers.Select(header => $"{header.Name}: {header.Value}\n"));
        var length = Encoding.UTF8.GetByteCount(text);
        if (length > ObjectHeaders.LongestText)
        {
            throw new ApiException(400, ProblemCodes.InvalidRequest, $"The headers that are kept with this may have {ObjectHeaders.LongestText:N0} bytes.");
        }

        var tail = new byte[length + TailLength];
        Encoding.UTF8.GetBytes(text, tail);
        BinaryPrimitives.WriteUInt16LittleEndian(tail.AsSpan(length), (ushort)length);
        return tail;
    }

    /// <summary>Null when the object is gone since it was found.</summary>
    private static async ValueTask<(int Length, ObjectHeaders Headers)?> ReadTailAsync(ContentSpace space, BlobInfo info, CancellationToken cancellationToken)
    {
        await using var reader = await space.OpenAsync(info, cancellationToken);
        if (reader is null)
        {
            return null;
        }

        var block = new byte[Math.Min(info.Length, ObjectHeaders.LongestText + TailLength)];
        await ReadExactlyAsync(reader, block, info.Length - block.Length, cancellationToken);
        return Parse(block);
    }

    /// <summary>The lines at the end of an object, and how many bytes they take with their length; null when that isn't one.</summary>
    private static (int Length, ObjectHeaders Headers)? Parse(ReadOnlySpan<byte> end)
    {
        if (end.Length < TailLength)
        {
            return null;
        }

        var length = BinaryPrimitives.ReadUInt16LittleEndian(end[^TailLength..]);
        if (length > ObjectHeaders.LongestText || length + TailLength > end.Length)
        {
            return null;
        }

        var headers = new ObjectHeaders();
        if (length > 0)
        {
            foreach (var line in Encoding.UTF8.GetString(end[^(length + TailLength)..^TailLength]).Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                var colon = line.IndexOf(": ", StringComparison.Ordinal);
                if (colon > 0)
                {
                    headers.Add((line[..colon], line[(colon + 2)..]));
                }
            }
        }

        return (length + TailLength, headers);
    }

    private static async ValueTask ReadExactlyAsync(IContentReader reader, Memory<byte> destination, long offset, CancellationToken cancellationToken)
    {
        while (!destination.IsEmpty)
        {
            var read = await reader.ReadAsync(destination, offset, cancellationToken);
            if (read == 0)
            {
                throw new ContentStoreException(ContentFailure.Unavailable, "A stored object is shorter than it says.");
            }

            destination = destination[read..];
            offset += read;
        }
    }

    private void Note(HttpContext http, BuildCacheAccess access, RequestKind kind, long started, long bytes, MissReason reason = MissReason.None) =>
        log.Record(new RequestRecord
        {
            Access = access,
            Kind = kind,
            Reason = reason,
            Tool = HttpRoute.ToolNameOf(http.Request.Path.Value),
            Blobs = 1,
            Missing = reason == MissReason.None ? 0 : 1,
            Bytes = bytes,
            Duration = time.GetElapsedTime(started),
        });
}
