using System.Buffers;
using System.Diagnostics;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.Win32.SafeHandles;
using Slipway.Native;

namespace Slipway.Server.Http;

/// <summary>
/// The writing half of a connection, in place of Kestrel's: what is flushed goes straight to the socket, and some of it may
/// be bytes of a file, which the kernel sends without showing them to this process (sendfile(2)).
/// <code>
///   Kestrel's HTTP/1 layer                         this type                              socket
///   headers:  GetMemory, Advance(180)   ─►  180 bytes in buffer
///                        FlushAsync     ─►  send(180)                                 ─►  180 bytes
///   file:     BeginFile ... (from SendFileResponseBody)
///                        Advance(1 MB)  ─►  no memory behind it: counted as file bytes
///                        FlushAsync     ─►  sendfile(1 MB), waits while the client is slow ─► 1 MB
///             EndFile
/// </code>
/// The HTTP layer so sees every byte pass, in order: Content-Length, minimum data rate and aborts work as ever.
/// One writer at a time, as with every PipeWriter; sends never overlap.
/// </summary>
internal sealed class SendFileOutput : PipeWriter
{
    private const int InputOutputError = 5; // EIO: the disk, not the client
    private const int TcpLevel = 6; // IPPROTO_TCP
    private const int TcpCork = 3; // TCP_CORK

    private readonly ConnectionContext connection;
    private readonly Socket socket;
    private readonly MemoryPool<byte> memoryPool;

    // Used as a growing list of pooled blocks: it never blocks its writer, and the sender empties it at every flush.
    private readonly Pipe buffer;

    private SafeFileHandle? file;
    private long fileOffset;
    private long fileBytes;

    private Task sending = Task.CompletedTask;
    private TaskCompletionSource? interrupted;
    private bool completed;
    private volatile bool closed;

    public SendFileOutput(ConnectionContext connection, Socket socket, MemoryPool<byte> memoryPool)
    {
        this.connection = connection;
        this.socket = socket;
        this.memoryPool = memoryPool;
        buffer = new Pipe(new PipeOptions(memoryPool, PipeScheduler.Inline, PipeScheduler.Inline,
            pauseWriterThreshold: 0, resumeWriterThreshold: 0, useSynchronizationContext: false));
    }

    /// <summary>How often memory was asked for: tells whether the HTTP layer above writes into this output directly.</summary>
    public int MemoryRequests { get; private set; }

    /// <summary>The connection takes no more bytes.</summary>
    public bool IsClosed => closed;

    /// <summary>Why the file could not be sent as announced, if that is what closed the connection.</summary>
    public IOException? FileFault { get; private set; }

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => buffer.Writer.UnflushedBytes + fileBytes;

    /// <summary>From here to <see cref="EndFile"/>, advancing means bytes of <paramref name="file"/> from <paramref name="offset"/> on.</summary>
    public void BeginFile(SafeFileHandle file, long offset)
    {
        this.file = file;
        fileOffset = offset;
    }

    public void EndFile() => file = null;

    /// <summary>
    /// While held back, the kernel sends no partial packet: the headers leave together with the first bytes of the file instead of
    /// waking the client for themselves. Letting go sends what is left at once.
    /// </summary>
    public void HoldPartialPackets(bool hold)
    {
        if (closed || socket.ProtocolType != ProtocolType.Tcp)
        {
            return;
        }

        try
        {
            Span<byte> value = stackalloc byte[sizeof(int)];
            MemoryMarshal.Write(value, hold ? 1 : 0);
            socket.SetRawSocketOption(TcpLevel, TcpCork, value);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // The connection is gone, which the next send tells.
        }
    }

    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        MemoryRequests++;
        return buffer.Writer.GetMemory(sizeHint);
    }

    public override Span<byte> GetSpan(int sizeHint = 0)
    {
        MemoryRequests++;
        return buffer.Writer.GetSpan(sizeHint);
    }

    public override void Advance(int bytes)
    {
        if (file is null)
        {
            buffer.Writer.Advance(bytes);
        }
        else
        {
            fileBytes += bytes;
        }
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<FlushResult>(cancellationToken);
        }

        var sending = StartSending();
        return sending.IsCompletedSuccessfully
            ? ValueTask.FromResult(new FlushResult(isCanceled: false, isCompleted: closed))
            : WaitAsync(this.sending = sending.AsTask(), cancellationToken);
    }

    /// <summary>Lets a waiting flush return; what it was sending still goes out, before anything written later.</summary>
    public override void CancelPendingFlush() => Volatile.Read(ref interrupted)?.TrySetResult();

    public override void Complete(Exception? exception = null)
    {
        if (completed)
        {
            return;
        }

        completed = true;
        if (exception is null)
        {
            var sending = StartSending();
            if (!sending.IsCompletedSuccessfully)
            {
                this.sending = sending.AsTask();
            }
        }
    }

    /// <summary>Ends the output: waits until everything written has been handed to the kernel or the connection has failed.</summary>
    public async Task DrainAsync()
    {
        Complete();
        await sending;
        await buffer.Writer.CompleteAsync();
        await buffer.Reader.CompleteAsync();
    }

    private ValueTask StartSending()
    {
        // Only commits the bytes: without a threshold this flush never waits.
        var committed = buffer.Writer.FlushAsync(CancellationToken.None);
        Debug.Assert(committed.IsCompleted);

        // Unfinished only after a flush was cancelled.
        return sending.IsCompleted ? SendAsync() : SendAfterAsync(sending);
    }

    private async ValueTask SendAfterAsync(Task previous)
    {
        await previous;
        await SendAsync();
    }

    /// <summary>Sends all there is. Never throws: failures close the connection, which is what the HTTP layer asks about.</summary>
    private async ValueTask SendAsync()
    {
        try
        {
            while (buffer.Reader.TryRead(out var read) && !read.Buffer.IsEmpty)
            {
                var bytes = read.Buffer;
                try
                {
                    if (!closed)
                    {
                        await SendAsync(bytes);
                    }
                }
                finally
                {
                    buffer.Reader.AdvanceTo(bytes.End);
                }
            }

            while (fileBytes > 0 && !closed && this.file is { } file)
            {
                await SendFileAsync(file);
            }
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException or IOException)
        {
            Close(exception);
        }
    }

    private async ValueTask SendAsync(ReadOnlySequence<byte> bytes)
    {
        if (bytes.IsSingleSegment)
        {
            await socket.SendAsync(bytes.First, SocketFlags.None, CancellationToken.None);
            return;
        }

        // One system call and, with luck, one packet for all blocks.
        List<ArraySegment<byte>> blocks = [];
        foreach (var block in bytes)
        {
            blocks.Add(MemoryMarshal.TryGetArray(block, out var array) ? array : new ArraySegment<byte>(block.ToArray()));
        }

        await socket.SendAsync(blocks, SocketFlags.None);
    }

    private async ValueTask SendFileAsync(SafeFileHandle file)
    {
        var sent = Posix.SendFile(socket.SafeHandle, file, ref fileOffset, fileBytes);
        if (sent > 0)
        {
            fileBytes -= sent;
            if (fileBytes == 0)
            {
                return;
            }
        }

        // The kernel takes no more for now (or the file has ended, which the read below tells). There is no waiting for
        // "writable" in .NET without sending something, so the next few bytes go the ordinary way, and their send is
        // the wait. The socket reports room when a third of its buffer is free, so this is some 4 kB in every MB.
        using var block = memoryPool.Rent();
        var toPageEnd = (int)(Environment.SystemPageSize - (fileOffset % Environment.SystemPageSize));
        var wanted = (int)Math.Min(Math.Min(toPageEnd, block.Memory.Length), fileBytes);
        var read = RandomAccess.Read(file, block.Memory.Span[..wanted], fileOffset);
        if (read == 0)
        {
            throw FileFault = new EndOfStreamException($"The file ends {fileBytes} bytes before the end of what was announced of it.");
        }

        await socket.SendAsync(block.Memory[..read], SocketFlags.None, CancellationToken.None);
        fileOffset += read;
        fileBytes -= read;
    }

    private async ValueTask<FlushResult> WaitAsync(Task sending, CancellationToken cancellationToken)
    {
        var interrupted = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Volatile.Write(ref this.interrupted, interrupted);
        await using (cancellationToken.UnsafeRegister(static state => ((TaskCompletionSource)state!).TrySetResult(), interrupted))
        {
            await Task.WhenAny(sending, interrupted.Task);
        }

        Volatile.Write(ref this.interrupted, null);
        if (sending.IsCompleted)
        {
            return new FlushResult(isCanceled: false, isCompleted: closed);
        }

        cancellationToken.ThrowIfCancellationRequested();
        return new FlushResult(isCanceled: true, isCompleted: false);
    }

    private void Close(Exception exception)
    {
        if (exception is IOException { HResult: InputOutputError } disk)
        {
            FileFault = disk;
        }

        closed = true;
        fileBytes = 0;
        connection.Abort(new ConnectionAbortedException("The response could not be sent to its end.", exception));
    }
}
