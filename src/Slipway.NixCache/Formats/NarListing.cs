using System.Buffers;

namespace Slipway.NixCache.Formats;

/// <summary>
/// The bytes of a <c>.ls</c> file, in pooled pieces: that of a large path has tens of megabytes, which would otherwise be copied at
/// each doubling and stay on the large object heap. Disposing gives the pieces back.
/// </summary>
internal sealed class NarListing : IBufferWriter<byte>, IDisposable
{
    private const int SmallestPiece = 4 * 1024;
    private const int LargestPiece = 64 * 1024;

    private readonly List<(byte[] Buffer, int Length)> _pieces = [];
    private byte[]? _current;
    private int _used;
    private int _nextSize = SmallestPiece;

    /// <summary>Bytes in all.</summary>
    public long Length { get; private set; }

    public void Advance(int count)
    {
        _used += count;
        Length += count;
    }

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        if (_current is null || _current.Length - _used < Math.Max(1, sizeHint))
        {
            SetCurrentAside();
            _current = ArrayPool<byte>.Shared.Rent(Math.Max(_nextSize, sizeHint));
            _nextSize = Math.Min(_nextSize * 2, LargestPiece);
        }

        return _current.AsMemory(_used);
    }

    public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    public byte[] ToArray()
    {
        var result = new byte[Length];
        var position = 0;
        foreach (var piece in Pieces())
        {
            piece.Span.CopyTo(result.AsSpan(position));
            position += piece.Length;
        }

        return result;
    }

    /// <summary>The bytes in order, valid until this is disposed.</summary>
    public IEnumerable<ReadOnlyMemory<byte>> Pieces()
    {
        foreach (var (buffer, length) in _pieces)
        {
            yield return buffer.AsMemory(0, length);
        }

        if (_current is not null && _used > 0)
        {
            yield return _current.AsMemory(0, _used);
        }
    }

    public async Task WriteToAsync(Stream stream, CancellationToken cancellationToken)
    {
        foreach (var piece in Pieces())
        {
            await stream.WriteAsync(piece, cancellationToken);
        }
    }

    public void Dispose()
    {
        SetCurrentAside();
        foreach (var (buffer, _) in _pieces)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        _pieces.Clear();
        Length = 0;
    }

    private void SetCurrentAside()
    {
        if (_current is not null)
        {
            _pieces.Add((_current, _used));
            _current = null;
            _used = 0;
        }
    }
}
