namespace Slipway.Cli.Nar;

/// <summary>
/// Takes bytes into one block and hands it on when it is full. Blocks are always whole, whatever the sizes of the writes: the same bytes
/// give the same blocks, which a resumable upload depends on.
/// </summary>
internal abstract class BlockSink
{
    /// <summary>Two of zstd's own 128 KiB blocks.</summary>
    public const int BlockSize = 256 * 1024;

    private readonly byte[] block = new byte[BlockSize];
    private int used;

    /// <summary>Bytes taken so far.</summary>
    public long Length { get; private set; }

    /// <summary>Room to write into directly; call <see cref="MakeRoomAsync"/> when it is empty, and <see cref="Advance"/> after.</summary>
    public Span<byte> Room => block.AsSpan(used);

    public void Advance(int count)
    {
        used += count;
        Length += count;
    }

    public ValueTask MakeRoomAsync(CancellationToken cancellationToken) =>
        used < block.Length ? ValueTask.CompletedTask : DrainAsync(last: false, cancellationToken);

    public ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        if (bytes.Length > block.Length - used)
        {
            return WriteInPartsAsync(bytes, cancellationToken);
        }

        bytes.Span.CopyTo(Room);
        Advance(bytes.Length);
        return ValueTask.CompletedTask;
    }

    /// <summary>Hands on what is left, as the last block, and starts anew.</summary>
    public async ValueTask FinishAsync(CancellationToken cancellationToken)
    {
        await DrainAsync(last: true, cancellationToken);
        Length = 0;
    }

    protected abstract ValueTask TakeBlockAsync(ReadOnlyMemory<byte> bytes, bool last, CancellationToken cancellationToken);

    private async ValueTask WriteInPartsAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        while (bytes.Length > 0)
        {
            await MakeRoomAsync(cancellationToken);
            var part = Math.Min(bytes.Length, block.Length - used);
            bytes.Span[..part].CopyTo(Room);
            Advance(part);
            bytes = bytes[part..];
        }
    }

    private async ValueTask DrainAsync(bool last, CancellationToken cancellationToken)
    {
        await TakeBlockAsync(block.AsMemory(0, used), last, cancellationToken);
        used = 0;
    }
}
