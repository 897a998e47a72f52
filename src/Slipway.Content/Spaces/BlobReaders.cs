namespace Slipway.Content;

/// <summary>A small blob inside its segment, which can't be deleted meanwhile.</summary>
internal sealed class SmallReader(Segment segment, long offset, int length) : IContentReader
{
    private bool disposed;

    public long Length => length;

    public FileRange? File => segment.File().RangeAt(offset);

    public ValueTask<int> ReadAsync(Memory<byte> buffer, long at, CancellationToken cancellationToken)
    {
        var wanted = (int)Math.Min(buffer.Length, length - at);
        try
        {
            return wanted > 0 && !segment.File().IsLocal ? ReadFromAfarAsync(buffer[..wanted], offset + at, cancellationToken) : ValueTask.FromResult(wanted <= 0 ? 0 : segment.File().Read(buffer.Span[..wanted], offset + at));
        }
        catch (IOException exception)
        {
            throw DiskFailure.Translate(exception, "The blob can't be read");
        }
    }

    private async ValueTask<int> ReadFromAfarAsync(Memory<byte> buffer, long at, CancellationToken cancellationToken)
    {
        try
        {
            return await segment.File().ReadAsync(buffer, at, cancellationToken);
        }
        catch (IOException exception)
        {
            throw DiskFailure.Translate(exception, "The blob can't be read");
        }
    }

    public ValueTask DisposeAsync()
    {
        if (!disposed)
        {
            disposed = true;
            segment.Unpin();
        }

        return ValueTask.CompletedTask;
    }
}

/// <summary>An open file. Reads at offsets share no position, so any number may run at once.</summary>
internal sealed class LargeReader(IVolumeFile file) : IContentReader
{
    public long Length { get; } = file.Length;

    public FileRange? File => file.RangeAt(0);

    public async ValueTask<int> ReadAsync(Memory<byte> buffer, long offset, CancellationToken cancellationToken)
    {
        try
        {
            return await file.ReadAsync(buffer, offset, cancellationToken);
        }
        catch (IOException exception)
        {
            throw DiskFailure.Translate(exception, "The blob can't be read");
        }
    }

    public ValueTask DisposeAsync()
    {
        file.Dispose();
        return ValueTask.CompletedTask;
    }
}
