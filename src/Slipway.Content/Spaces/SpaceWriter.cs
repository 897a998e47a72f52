using System.Buffers;
using System.Collections.Concurrent;
using System.Threading.Tasks.Sources;

namespace Slipway.Content;

/// <summary>
/// Appends to the open segment of a space, one at a time. Who finds it idle writes at once, on its own thread, and takes along what others
/// have queued meanwhile: a lone write costs no hand-over, simultaneous ones share a system call.
/// </summary>
internal sealed class SpaceWriter(ContentSpace space, SpaceSync sync)
{
    /// <summary>
    /// Payloads up to this go through the batch buffer, larger ones to the kernel from where they are: copying 32 KiB takes 3 µs, about
    /// as much as a second system call.
    /// </summary>
    private const int MaxCopied = 32 << 10;

    /// <summary>Bytes of one write. From here on a larger one gains nothing.</summary>
    private const int BatchBytes = 256 << 10;

    /// <summary>Rounds one caller does for others before a pool thread takes over: nobody's request pays for everybody's.</summary>
    private const int MaxRounds = 4;

    private readonly ConcurrentQueue<Append> queue = new();
    private readonly List<Append> batch = [];
    private readonly Append own = new();
    private byte[]? buffer;
    private int buffered;
    private long bufferAt;
    private Segment? open;
    private long referred;
    private int busy;
    private volatile bool stopped;

    /// <summary>The segment that is appended to. Only while nobody writes: at load and in <see cref="SealAsync"/>.</summary>
    public Segment? Open
    {
        get => open;
        set => open = value;
    }

    /// <summary>Completes when the record is in the file and in the index.</summary>
    public ValueTask AppendAsync(in Record record, ReadOnlyMemory<byte> payload) => AppendAsync(record, payload, default, replaces: null);

    /// <param name="large">What the payload says, for a <see cref="RecordKind.Large"/>.</param>
    /// <param name="replaces">The record is a copy: it is dropped unless the index still has this entry.</param>
    public ValueTask AppendAsync(in Record record, ReadOnlyMemory<byte> payload, in LargeFile large, IndexEntry? replaces)
    {
        if (Interlocked.CompareExchange(ref busy, 1, 0) == 0)
        {
            // Nobody else is here: no request object, no queue.
            own.Set(record, payload, large, replaces);
            batch.Add(own);
            var failure = WriteBatch();
            own.Clear();
            Leave();
            return failure is null ? ValueTask.CompletedTask : ValueTask.FromException(failure);
        }

        var append = new Append();
        append.Set(record, payload, large, replaces);
        var task = append.Task;
        Enqueue(append);
        return task;
    }

    /// <summary>Notes that a blob is gone. Nobody waits: if the note is lost in a crash, so is the removal.</summary>
    public void AppendRemoval(in BlobKey key)
    {
        var append = new Append();
        append.Set(new Record(RecordKind.Removed, key, BlobCodec.Raw, 0, 0, space.Now, Crc32C.Of([])), default, default, null);
        Enqueue(append);
    }

    /// <summary>Closes the open segment, so that it can be shipped or rewritten, and waits for its footer. Nothing happens when there is nothing in it.</summary>
    public async Task SealAsync(CancellationToken cancellationToken)
    {
        Task sealing;
        while (Interlocked.CompareExchange(ref busy, 1, 0) != 0)
        {
            await Task.Yield();
            cancellationToken.ThrowIfCancellationRequested();
        }

        try
        {
            if (open is not { } segment || segment.Length == Segment.HeaderSize)
            {
                return;
            }

            open = null;
            space.Sealed(segment);
            sealing = segment.SealEnded;
        }
        finally
        {
            Leave();
        }

        await sealing.WaitAsync(cancellationToken);
    }

    /// <summary>Refuses everything from now on.</summary>
    public void Stop() => stopped = true;

    // Whoever writes takes it along; if nobody does, it is written here.
    private void Enqueue(Append append)
    {
        queue.Enqueue(append);
        if (Interlocked.CompareExchange(ref busy, 1, 0) == 0)
        {
            Leave();
        }
    }

    // Gives the writer up, then looks once more: what was queued in between must not be left lying.
    private void Leave()
    {
        for (var round = 0; ; round++)
        {
            if (round == MaxRounds && !queue.IsEmpty)
            {
                ThreadPool.UnsafeQueueUserWorkItem(static writer => writer.Leave(), this, preferLocal: false);
                return;
            }

            while (batch.Count < 64 && queue.TryDequeue(out var next))
            {
                batch.Add(next);
            }

            if (batch.Count > 0)
            {
                WriteBatch();
                continue;
            }

            Volatile.Write(ref busy, 0);
            Interlocked.MemoryBarrier();
            if (queue.IsEmpty || Interlocked.CompareExchange(ref busy, 1, 0) != 0)
            {
                return;
            }
        }
    }

    // One failed write fails the batch: what of it is in the file lies behind the segment's length and is overwritten by the next.
    private ContentStoreException? WriteBatch()
    {
        ContentStoreException? failure = null;
        try
        {
            ObjectDisposedException.ThrowIf(stopped, space);
            var from = bufferAt = open?.Length ?? 0;
            foreach (var append in batch)
            {
                append.Skipped = IsPointless(append);
                if (append.Skipped)
                {
                    continue;
                }

                if (open is { } full && (bufferAt + buffered + append.Record.Size > space.MaxSegmentBytes || referred > space.MaxReferredBytes))
                {
                    Flush(from);
                    PublishBatch();
                    open = null;
                    space.Sealed(full);
                }

                if (open is null)
                {
                    open = space.NewSegment();
                    from = bufferAt = open.Length;
                    referred = 0;
                }

                referred += append.LargeBytes;
                append.Segment = open;
                append.Offset = bufferAt + buffered;
                Encode(append);
            }

            if (open is not null && bufferAt + buffered > from)
            {
                Flush(from);
            }

            PublishBatch();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            failure = exception is ObjectDisposedException
                ? new ContentStoreException(ContentFailure.Unavailable, "The space was deleted or its store is closed.", exception)
                : DiskFailure.Translate(exception, "The blob can't be written");
        }

        buffered = 0;
        foreach (var append in batch)
        {
            append.Complete(append.IsPublished || append.Skipped ? null : failure);
        }

        batch.Clear();
        if (queue.IsEmpty && buffer is { } spare)
        {
            buffer = null;
            ArrayPool<byte>.Shared.Return(spare);
        }

        return failure;
    }

    // A blob that is here, or a copy of what is no longer where it was copied from.
    private bool IsPointless(Append append) => append.Replaces is { } from
        ? !(space.Index.TryGet(append.Record.Key, out var now) && now.IsSamePlace(from))
        : append.Record.What == RecordKind.Blob && append.Record.Key.IsContentAddressed && space.Index.Touch(append.Record.Key, append.Record.Length, append.Record.LastUsed);

    private void Encode(Append append)
    {
        buffer ??= ArrayPool<byte>.Shared.Rent(BatchBytes);
        ref readonly var record = ref append.Record;
        var payload = append.Payload.Span;
        if (buffered + Record.HeaderSize + Math.Min(payload.Length, MaxCopied) + 8 > buffer.Length)
        {
            FlushBuffer();
        }

        record.WriteHeader(buffer.AsSpan(buffered), open!.Number);
        buffered += Record.HeaderSize;
        if (payload.Length <= MaxCopied)
        {
            payload.CopyTo(buffer.AsSpan(buffered));
            buffered += payload.Length;
        }
        else
        {
            FlushBuffer();
            open.Append(payload, bufferAt);
            bufferAt += payload.Length;
        }

        var padding = record.Size - Record.HeaderSize - payload.Length;
        buffer.AsSpan(buffered, padding).Clear();
        buffered += padding;
    }

    private void FlushBuffer()
    {
        if (buffered > 0)
        {
            open!.Append(buffer.AsSpan(0, buffered), bufferAt);
            bufferAt += buffered;
            buffered = 0;
        }
    }

    private void Flush(long from)
    {
        FlushBuffer();
        // After the write (see SpaceSync), and before anybody sees the new length: a checkpoint goes as far as the length and syncs what is counted.
        sync.Wrote(open!, bufferAt - from);
        open!.Grow(bufferAt);
        space.AddSegmentBytes(bufferAt - from);
    }

    private void PublishBatch()
    {
        foreach (var append in batch)
        {
            if (append is { Segment: { } segment, IsPublished: false })
            {
                append.IsPublished = true;
                append.Publish(space, segment);
            }
        }
    }

    /// <summary>One record on its way into the log.</summary>
    private sealed class Append : IValueTaskSource
    {
        private ManualResetValueTaskSourceCore<bool> completion = new() { RunContinuationsAsynchronously = true };
        private Record record;
        private LargeFile large;

        public ref readonly Record Record => ref record;

        public ReadOnlyMemory<byte> Payload { get; private set; }

        public long LargeBytes => large.StoredLength;

        public IndexEntry? Replaces { get; private set; }

        public Segment? Segment { get; set; }

        public long Offset { get; set; }

        public bool IsPublished { get; set; }

        public bool Skipped { get; set; }

        public ValueTask Task => new(this, completion.Version);

        public void Set(in Record record, ReadOnlyMemory<byte> payload, in LargeFile large, IndexEntry? replaces)
        {
            this.record = record;
            this.large = large;
            Payload = payload;
            Replaces = replaces;
        }

        public void Publish(ContentSpace space, Segment segment)
        {
            if (Replaces is { } from)
            {
                var entry = new PlacedRecord(record, Offset, large).EntryIn(segment.Number);
                if (from.IsLarge ? space.Index.TryGet(record.Key, out var now) && now.IsSamePlace(from) : space.Index.Move(record.Key, from, entry))
                {
                    segment.AddLive(record.Size);
                }
            }
            else
            {
                space.Publish(record, segment, Offset, large);
            }
        }

        public void Complete(Exception? failure)
        {
            if (failure is null)
            {
                completion.SetResult(true);
            }
            else
            {
                completion.SetException(failure);
            }
        }

        /// <summary>Makes the writer's own one ready for its next use.</summary>
        public void Clear()
        {
            completion.Reset();
            Payload = default;
            Replaces = null;
            Segment = null;
            IsPublished = false;
            Skipped = false;
        }

        public void GetResult(short token) => completion.GetResult(token);

        public ValueTaskSourceStatus GetStatus(short token) => completion.GetStatus(token);

        public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            completion.OnCompleted(continuation, state, token, flags);
    }
}
