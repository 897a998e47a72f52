using System.Buffers;
using System.Buffers.Binary;
using System.IO.Compression;
using System.Net;

namespace Slipway.Grpc;

/// <summary>The body of a request with one message.</summary>
internal sealed class SingleMessageContent(ReadOnlyMemory<byte> message, bool gzip) : HttpContent
{
    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken) =>
        await MessageWriter.WriteAsync(stream, message, gzip, cancellationToken).ConfigureAwait(false);

    protected override bool TryComputeLength(out long length)
    {
        length = MessageReader.PrefixBytes + message.Length;
        return !gzip;
    }
}

/// <summary>The body of a request whose messages come one after the other; it ends with <see cref="Complete"/>.</summary>
internal sealed class StreamingContent(bool gzip) : HttpContent
{
    private readonly TaskCompletionSource<Stream> started = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource finished = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public async ValueTask WriteAsync(ReadOnlyMemory<byte> message, CancellationToken cancellationToken)
    {
        var stream = started.Task.IsCompletedSuccessfully ? started.Task.Result : await started.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        await MessageWriter.WriteAsync(stream, message, gzip, cancellationToken).ConfigureAwait(false);
        await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    public void Complete() => finished.TrySetResult();

    /// <summary>The request failed or was cancelled, maybe before it had a stream.</summary>
    public void Fail(Exception because)
    {
        started.TrySetException(because);
        // Observed here: nobody may be writing.
        _ = started.Task.Exception;
        finished.TrySetResult();
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        // The headers must go out before the first message: a server may talk first.
        await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
        started.TrySetResult(stream);
        await finished.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }
}

internal static class MessageWriter
{
    /// <summary>Up to here prefix and message go as one write; copying 16 KiB costs less than a frame of its own.</summary>
    private const int CopyUpTo = 16 * 1024;

    public static async ValueTask WriteAsync(Stream stream, ReadOnlyMemory<byte> message, bool gzip, CancellationToken cancellationToken)
    {
        if (gzip)
        {
            message = Compress(message);
        }

        var copied = message.Length <= CopyUpTo ? message.Length : 0;
        var buffer = ArrayPool<byte>.Shared.Rent(MessageReader.PrefixBytes + copied);
        try
        {
            buffer[0] = gzip ? (byte)1 : (byte)0;
            BinaryPrimitives.WriteInt32BigEndian(buffer.AsSpan(1), message.Length);
            message.Span[..copied].CopyTo(buffer.AsSpan(MessageReader.PrefixBytes));
            await stream.WriteAsync(buffer.AsMemory(0, MessageReader.PrefixBytes + copied), cancellationToken).ConfigureAwait(false);
            if (copied < message.Length)
            {
                await stream.WriteAsync(message, cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static ReadOnlyMemory<byte> Compress(ReadOnlyMemory<byte> message)
    {
        using var compressed = new MemoryStream();
        using (var gzip = new GZipStream(compressed, CompressionLevel.Fastest, leaveOpen: true))
        {
            gzip.Write(message.Span);
        }

        return compressed.GetBuffer().AsMemory(0, (int)compressed.Length);
    }
}
