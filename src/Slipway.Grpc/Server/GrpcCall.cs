using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Slipway.Grpc;

/// <summary>
/// One call as its handler sees it. Messages are bytes of the pipes: they are read where they arrived and written where they leave.
/// Used by one thread at a time, and not after its handler has returned; only <see cref="Cut"/> may be called from elsewhere.
/// </summary>
/// <remarks>
/// <code>
/// request   ReadRequestAsync() when the client sends one message; else ReadMessageAsync() until it gives null
/// response  WriteMessage(bytes), or StartMessage(length) and as many GetSpan/Advance as it takes; FlushAsync() when the client should
///           have it now or 256 KiB are waiting. What is left goes out with the trailers, in one write.
/// status    OK when the handler returns; Fail(…) or throw GrpcException for any other
/// </code>
/// </remarks>
public sealed class GrpcCall : IBufferWriter<byte>
{
    /// <summary>Flush after so many bytes: enough for one write to the socket to be cheap, little enough for a thousand slow readers.</summary>
    public const int FlushBytes = 256 * 1024;

    private readonly PipeWriter output;
    private readonly MessageReader input;
    private readonly TimeProvider time;
    private readonly long deadlineAt;
    private readonly Lock ending = new();
    private CancellationTokenSource? cancellation;
    private CancellationTokenRegistration clientLeft;
    private bool isOver;
    private int unwritten;
    private int unflushed;

    internal GrpcCall(HttpContext http, GrpcMethod method, TimeSpan? timeout, TimeProvider time, MessageBudget budget)
    {
        Http = http;
        Method = method;
        this.time = time;
        output = http.Response.BodyWriter;
        var encoding = http.Request.Headers.GrpcEncoding;
        input = new MessageReader(http.Request.BodyReader, method.MaxMessageBytes, encoding.Count == 0 ? null : encoding[0], budget);
        if (timeout is { } limit)
        {
            Deadline = limit < DateTimeOffset.MaxValue - time.GetUtcNow() ? time.GetUtcNow() + limit : DateTimeOffset.MaxValue;
            // A timer takes 49 days at most. Nobody waits that long for a call.
            deadlineAt = time.GetTimestamp() + (long)(Math.Min(limit.TotalSeconds, 30 * 86_400) * time.TimestampFrequency);
        }
    }

    public HttpContext Http { get; }

    public GrpcMethod Method { get; }

    public GrpcMetadata Metadata => new(Http.Request.Headers);

    /// <summary>When the client stops waiting; null when it waits for ever.</summary>
    public DateTimeOffset? Deadline { get; }

    /// <summary>Cancelled when the client went away, at the deadline, and by <see cref="Cut"/>. Give it to everything the handler awaits.</summary>
    public CancellationToken Aborted
    {
        get
        {
            lock (ending)
            {
                return (cancellation ??= StartCancellation()).Token;
            }
        }
    }

    /// <summary>Sent before the first message.</summary>
    public IHeaderDictionary ResponseHeaders => Http.Response.Headers;

    /// <summary>Sent after the last message, with the status. Text values must be ASCII; for others use <see cref="SetBinaryTrailer"/>.</summary>
    public IHeaderDictionary Trailers => Http.Features.GetRequiredFeature<IHttpResponseTrailersFeature>().Trailers;

    internal GrpcStatus Status { get; private set; }

    internal string? StatusMessage { get; private set; }

    internal IReadOnlyList<GrpcDetail> StatusDetails { get; private set; } = [];

    internal int MessagesWritten { get; private set; }

    /// <summary>True in the middle of a message: the peer can't be told a status any more.</summary>
    internal bool IsMidMessage => unwritten != 0;

    internal GrpcException? CutBecause { get; private set; }

    internal bool IsPastDeadline => deadlineAt != 0 && (time.GetTimestamp() >= deadlineAt || cancellation is { IsCancellationRequested: true });

    /// <summary>
    /// The next message, or null when the client has sent its last. Valid until the next read. Completes at once when it is there
    /// already. Throws <see cref="GrpcException"/> for a message that is too large, truncated or compressed in an unknown way, and
    /// <see cref="OperationCanceledException"/> when <see cref="Aborted"/>.
    /// </summary>
    public ValueTask<ReadOnlySequence<byte>?> ReadMessageAsync() => input.ReadAsync(WaitToken);

    /// <summary>
    /// The only message of a unary or server-streaming call, valid until the handler returns. None is INVALID_ARGUMENT, more than one
    /// UNIMPLEMENTED.
    /// </summary>
    public ValueTask<ReadOnlySequence<byte>> ReadRequestAsync() => input.ReadSingleAsync(WaitToken);

    /// <summary>
    /// Begins a message of exactly <paramref name="length"/> bytes, to be written with <see cref="GetSpan"/> or <see cref="GetMemory"/>
    /// and <see cref="Advance"/>, over as many flushes as it takes.
    /// </summary>
    public void StartMessage(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        if (unwritten != 0)
        {
            throw new InvalidOperationException($"The message before still lacks {unwritten} bytes.");
        }

        var prefix = output.GetSpan(MessageReader.PrefixBytes);
        prefix[0] = 0;
        BinaryPrimitives.WriteInt32BigEndian(prefix[1..], length);
        output.Advance(MessageReader.PrefixBytes);
        unflushed += MessageReader.PrefixBytes;
        unwritten = length;
        MessagesWritten++;
    }

    public Memory<byte> GetMemory(int sizeHint = 0) => output.GetMemory(sizeHint);

    public Span<byte> GetSpan(int sizeHint = 0) => output.GetSpan(sizeHint);

    public void Advance(int count)
    {
        if ((uint)count > (uint)unwritten)
        {
            throw new InvalidOperationException($"{count} bytes were written where the message has room for {unwritten}.");
        }

        output.Advance(count);
        unwritten -= count;
        unflushed += count;
    }

    /// <summary>Writes a whole message that is in memory already.</summary>
    public void WriteMessage(ReadOnlySpan<byte> message)
    {
        StartMessage(message.Length);
        output.Write(message);
        unflushed += message.Length;
        unwritten = 0;
    }

    /// <summary>
    /// Sends what was written. Waits while the client does not read. Throws <see cref="OperationCanceledException"/> when the call is
    /// over.
    /// </summary>
    public ValueTask FlushAsync()
    {
        unflushed = 0;
        // Never with a token: when one cancels a flush, Kestrel resets the stream, and the client is told no status.
        var flush = output.FlushAsync(CancellationToken.None);
        return flush.IsCompletedSuccessfully && !flush.Result.IsCompleted && !flush.Result.IsCanceled ? ValueTask.CompletedTask : FlushSlowlyAsync(flush);
    }

    /// <summary>Sends what was written once it is 256 KiB; the rest goes with a later flush or the trailers. For streams nobody waits on by the message.</summary>
    public ValueTask FlushIfFullAsync() => unflushed < FlushBytes ? ValueTask.CompletedTask : FlushAsync();

    /// <summary>
    /// Ends the call with this status when the handler returns: like throwing, without its price. For what is no surprise, such as a
    /// cache miss.
    /// </summary>
    public void Fail(GrpcStatus status, string message, params IReadOnlyList<GrpcDetail> details)
    {
        Status = status;
        StatusMessage = message;
        StatusDetails = details;
    }

    /// <summary>
    /// Ends the call from elsewhere (the key was revoked, the server must go): <see cref="Aborted"/> is cancelled, reads and flushes
    /// under way throw, and the client gets this status. The first cut counts.
    /// </summary>
    public void Cut(GrpcException because)
    {
        lock (ending)
        {
            // Kestrel uses the stream again for another call.
            if (isOver || CutBecause is not null)
            {
                return;
            }

            CutBecause = because;
            Http.Request.BodyReader.CancelPendingRead();
            output.CancelPendingFlush();
        }

        try
        {
            // Not under the lock: it runs whatever waits for the token.
            cancellation?.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The handler came to its end in between.
        }
    }

    public void SetBinaryTrailer(string name, ReadOnlySpan<byte> value) => Trailers[name] = BinaryMetadata.Encode(value);

    internal void Finish()
    {
        lock (ending)
        {
            isOver = true;
        }

        input.Release();
        clientLeft.Dispose();
        cancellation?.Dispose();
    }

    // Kestrel itself ends what waits when the client is gone, and Cut does by hand. The token, which costs a source, is only for deadlines.
    private CancellationToken WaitToken => cancellation is null && deadlineAt == 0 ? CancellationToken.None : Aborted;

    private CancellationTokenSource StartCancellation()
    {
        var source = new CancellationTokenSource();
        if (CutBecause is not null)
        {
            source.Cancel();
        }
        else
        {
            if (deadlineAt != 0)
            {
                var left = time.GetElapsedTime(time.GetTimestamp(), deadlineAt);
                source.Dispose();
                source = new CancellationTokenSource(left > TimeSpan.Zero ? left : TimeSpan.Zero, time);
            }

            clientLeft = Http.RequestAborted.UnsafeRegister(static source => ((CancellationTokenSource)source!).Cancel(), source);
        }

        return source;
    }

    private async ValueTask FlushSlowlyAsync(ValueTask<FlushResult> flush)
    {
        using var end = WaitToken.UnsafeRegister(static output => ((PipeWriter)output!).CancelPendingFlush(), output);
        var result = await flush.ConfigureAwait(false);
        // Kestrel does not say that a flush was cancelled: it looks like one that came to its end.
        if (result.IsCompleted || result.IsCanceled || CutBecause is not null || cancellation is { IsCancellationRequested: true })
        {
            throw new OperationCanceledException("The client went away while it was sent a message.");
        }
    }
}
