using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Win32.SafeHandles;

namespace Slipway.Server.Http;

/// <summary>
/// Kestrel's response body, except that <see cref="SendFileAsync"/> lets the kernel send the file where that is possible: on
/// HTTP/1 without TLS, with a Content-Length. Everywhere else it is Kestrel's own copying.
/// </summary>
internal sealed class SendFileResponseBody(IHttpResponseBodyFeature inner, HttpContext http, SendFileOutput output) : IHttpResponseBodyFeature
{
    // Bytes per flush. Large enough that the flush (2 µs) is lost beside the sending (70 µs), small enough that cancellation and
    // the data rate are looked at often.
    private const int ChunkBytes = 1 << 20;

    // Below this, one send of headers and copied bytes is cheaper than a send and a sendfile. Measured per request: both cost
    // the same 33 µs at 16 kB; at 64 kB sendfile costs 30 µs and Kestrel's copying 57.
    private const int CopyUpTo = 16 * 1024;

    public Stream Stream => inner.Stream;

    public PipeWriter Writer => inner.Writer;

    public void DisableBuffering() => inner.DisableBuffering();

    public Task StartAsync(CancellationToken cancellationToken = default) => inner.StartAsync(cancellationToken);

    public Task CompleteAsync() => inner.CompleteAsync();

    public async Task SendFileAsync(string path, long offset, long? count, CancellationToken cancellationToken = default)
    {
        if (http.Response.ContentLength is null || !HttpMethods.IsGet(http.Request.Method) || !HttpProtocol.IsHttp11(http.Request.Protocol)
            || http.Features.Get<ITlsHandshakeFeature>() is not null)
        {
            await inner.SendFileAsync(path, offset, count, cancellationToken);
            return;
        }

        // Sharing everything spares the advisory lock .NET would take and drop.
        using var file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        var length = RandomAccess.GetLength(file);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, length);
        var bytes = count ?? length - offset;
        ArgumentOutOfRangeException.ThrowIfNegative(bytes, nameof(count));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, length - offset, nameof(count));
        if (bytes <= CopyUpTo)
        {
            await CopyAsync(file, offset, (int)bytes, cancellationToken);
            return;
        }

        output.HoldPartialPackets(true);
        try
        {
            await inner.StartAsync(cancellationToken);
            if (!WritesGoToOutput())
            {
                // Something sits between (a logging or TLS middleware): bytes promised to it would never come.
                await inner.SendFileAsync(path, offset, bytes, cancellationToken);
                return;
            }

            await SendAsync(file, offset, bytes, cancellationToken);
        }
        finally
        {
            output.HoldPartialPackets(false);
        }
    }

    private async Task CopyAsync(SafeFileHandle file, long offset, int bytes, CancellationToken cancellationToken)
    {
        while (bytes > 0)
        {
            var memory = inner.Writer.GetMemory(Math.Min(bytes, 4096));
            var read = RandomAccess.Read(file, memory.Span[..Math.Min(bytes, memory.Length)], offset);
            if (read == 0)
            {
                throw new EndOfStreamException($"The file ends {bytes} bytes before the end of what was announced of it.");
            }

            inner.Writer.Advance(read);
            offset += read;
            bytes -= read;
        }

        await inner.Writer.FlushAsync(cancellationToken);
    }

    private bool WritesGoToOutput()
    {
        var before = output.MemoryRequests;
        inner.Writer.GetMemory(1);
        return output.MemoryRequests != before;
    }

    private async Task SendAsync(SafeFileHandle file, long offset, long bytes, CancellationToken cancellationToken)
    {
        var rate = http.Features.Get<IHttpMinResponseDataRateFeature>();
        var usualRate = rate?.MinDataRate;
        if (usualRate is not null)
        {
            // Kestrel counts written bytes against the rate, but not advanced ones: those only get the grace period. So the
            // period becomes what a chunk takes at the slowest rate allowed.
            var chunkTime = TimeSpan.FromSeconds(ChunkBytes / usualRate.BytesPerSecond);
            rate!.MinDataRate = new MinDataRate(usualRate.BytesPerSecond, chunkTime > usualRate.GracePeriod ? chunkTime : usualRate.GracePeriod);
        }

        var finished = false;
        output.BeginFile(file, offset);
        try
        {
            while (bytes > 0)
            {
                var chunk = (int)Math.Min(bytes, ChunkBytes);
                inner.Writer.Advance(chunk);
                bytes -= chunk;
                var flush = await inner.Writer.FlushAsync(cancellationToken);
                if (output.IsClosed)
                {
                    throw output.FileFault is { } fault
                        ? new IOException("The file can't be sent.", fault)
                        : new ConnectionAbortedException("The client went away while a file was sent to it.");
                }

                if (flush.IsCanceled)
                {
                    throw new OperationCanceledException("Sending the file was cancelled.");
                }
            }

            finished = true;
        }
        finally
        {
            if (!finished)
            {
                // Kestrel believes that every advanced byte was sent: nothing may follow on this connection.
                http.Abort();
            }

            output.EndFile();
            if (rate is not null)
            {
                rate.MinDataRate = usualRate;
            }
        }
    }
}
