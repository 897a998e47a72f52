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

    private readonly List<(byte[] Buffer, int Length)> pieces = [];
    private byte[]? current;
    private int used;
    private int nextSize = SmallestPiece;

    /// <summary>Bytes in all.</summary>
    public long Length { get; private set; }

    public void Advance(int count)
    {
        used += count;
        Length += count;
    }

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        if (current is null || current.Length - used < Math.Max(1, sizeHint))
        {
            SetCurrentAside();
            current = ArrayPool<byte>.Shared.Rent(Math.Max(nextSize, sizeHint));
            nextSize = Math.Min(nextSize * 2, LargestPiece);
        }

        return current.AsMemory(used);
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
        foreach (var (buffer, length) in pieces)
        {
            yield return buffer.AsMemory(0, length);
        }

        if (current is not null && used > 0)
        {
            yield return current.AsMemory(0, used);
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
        foreach (var (buffer, _) in pieces)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        pieces.Clear();
        Length = 0;
    }

    private void SetCurrentAside()
    {
        if (current is not null)
        {
            pieces.Add((current, used));
            current = null;
            used = 0;
        }
    }
}
