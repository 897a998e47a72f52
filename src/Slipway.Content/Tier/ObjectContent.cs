namespace Slipway.Content;

/// <summary>Bytes to be written to object storage, which can be read again when an attempt failed.</summary>
/// <param name="Read">Fills the buffer from an offset on, less at the end only.</param>
internal sealed record ObjectContent(long Length, Func<Memory<byte>, long, CancellationToken, ValueTask<int>> Read)
{
    public static ObjectContent Of(ReadOnlyMemory<byte> bytes) => new(bytes.Length, (buffer, offset, _) =>
    {
        var count = (int)Math.Min(buffer.Length, bytes.Length - offset);
        bytes.Slice((int)offset, count).CopyTo(buffer);
        return new(count);
    });

    public ObjectContent Part(long offset, long length) =>
        new(length, (buffer, at, cancellationToken) => Read(buffer[..(int)Math.Min(buffer.Length, length - at)], offset + at, cancellationToken));

    /// <summary>A new stream from the start. Seekable: a signature over the payload reads it before it is sent.</summary>
    public Stream OpenStream() => new ContentStream(this);

    private sealed class ContentStream(ObjectContent content) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => true;

        public override bool CanWrite => false;

        public override long Length => content.Length;

        public override long Position { get; set; }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (buffer.Length == 0 || Position >= content.Length)
            {
                return 0;
            }

            var wanted = (int)Math.Min(buffer.Length, content.Length - Position);
            var read = await content.Read(buffer[..wanted], Position, cancellationToken);
            if (read == 0)
            {
                throw new EndOfStreamException($"A file of {content.Length} bytes ended at {Position}.");
            }

            Position += read;
            return read;
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        // The signature over the payload is computed with this one. The reads underneath are of files and memory and complete at once.
        public override int Read(byte[] buffer, int offset, int count)
        {
            var read = ReadAsync(buffer.AsMemory(offset, count), CancellationToken.None);
            return read.IsCompleted ? read.GetAwaiter().GetResult() : read.AsTask().GetAwaiter().GetResult();
        }

        public override long Seek(long offset, SeekOrigin origin) => Position = origin switch
        {
            SeekOrigin.Begin => offset,
            SeekOrigin.Current => Position + offset,
            _ => Length + offset,
        };

        public override void Flush()
        {
        }

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
