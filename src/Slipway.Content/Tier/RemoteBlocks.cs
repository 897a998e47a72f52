using System.Collections.Concurrent;

namespace Slipway.Content;

/// <summary>
/// Reads objects in blocks of 1 MiB and keeps the latest in memory: neighbours of a blob are mostly wanted next, and a request costs the same
/// 20 to 50 ms for a kilobyte as for a megabyte. Whoever wants a block that is on its way waits for that one.
/// </summary>
internal sealed class RemoteBlocks(IObjectStorage storage, long capacityBytes)
{
    public const int BlockBytes = 1 << 20;

    /// <summary>Requests at once for all readers together: half of the connections.</summary>
    private const int MaxFetches = 32;

    private readonly ConcurrentDictionary<(string Key, long Block), Entry> blocks = new();
    private readonly SemaphoreSlim fetches = new(MaxFetches);
    private readonly int capacity = (int)Math.Clamp(capacityBytes / BlockBytes, 2, 1 << 16);
    private readonly Lock evicting = new();
    private long clock;
    private long requests;

    /// <summary>Blocks asked of the storage so far.</summary>
    public long Requests => Interlocked.Read(ref requests);

    /// <summary>Fills the buffer from <paramref name="offset"/> on, less at the object's end only.</summary>
    /// <param name="length">Of the object.</param>
    /// <param name="readAhead">Also begins to fetch the block after the last one.</param>
    /// <returns>How many bytes; -1 when the object is not there.</returns>
    /// <exception cref="ObjectStorageException">The storage does not answer.</exception>
    public async ValueTask<int> ReadAsync(string key, long length, long offset, Memory<byte> buffer, bool readAhead, CancellationToken cancellationToken)
    {
        var total = 0;
        while (total < buffer.Length && offset < length)
        {
            var number = offset / BlockBytes;
            var fetching = FetchAsync(key, number, length);
            if (readAhead && (number + 1) * BlockBytes < length && offset + buffer.Length - total >= (number + 1) * BlockBytes - BlockBytes / 2)
            {
                _ = FetchAsync(key, number + 1, length);
            }

            var block = await fetching.WaitAsync(cancellationToken);
            if (block is null)
            {
                return -1;
            }

            var at = (int)(offset - (number * BlockBytes));
            var count = Math.Min(buffer.Length - total, block.Length - at);
            if (count <= 0)
            {
                break;
            }

            block.AsSpan(at, count).CopyTo(buffer.Span[total..]);
            total += count;
            offset += count;
        }

        return total;
    }

    private Task<byte[]?> FetchAsync(string key, long number, long length)
    {
        if (blocks.TryGetValue((key, number), out var known))
        {
            known.LastUsed = Interlocked.Increment(ref clock);
            return known.Block.Value;
        }

        var entry = blocks.GetOrAdd((key, number), place => new Entry(new Lazy<Task<byte[]?>>(() => LoadAsync(place, length))));
        entry.LastUsed = Interlocked.Increment(ref clock);
        var task = entry.Block.Value;
        MakeRoom();
        return task;
    }

    // Not cancelled with the reader that asked first: others may wait for it, and what was fetched will be wanted again.
    private async Task<byte[]?> LoadAsync((string Key, long Block) place, long length)
    {
        await Task.Yield();
        try
        {
            await fetches.WaitAsync(CancellationToken.None);
            try
            {
                Interlocked.Increment(ref requests);
                var offset = place.Block * BlockBytes;
                var block = GC.AllocateUninitializedArray<byte>((int)Math.Min(BlockBytes, length - offset));
                var read = await storage.ReadAsync(place.Key, offset, block, CancellationToken.None);
                if (read >= 0)
                {
                    return read == block.Length ? block : block[..read];
                }
            }
            finally
            {
                fetches.Release();
            }
        }
        catch
        {
            blocks.TryRemove(place, out _);
            throw;
        }

        // Nor is absence kept: it may be there a moment later.
        blocks.TryRemove(place, out _);
        return null;
    }

    private void MakeRoom()
    {
        if (blocks.Count <= capacity)
        {
            return;
        }

        lock (evicting)
        {
            // An eighth at a time, so that the sorting is rare.
            if (blocks.Count > capacity)
            {
                foreach (var old in blocks.Where(block => block.Value.Block is { IsValueCreated: true, Value.IsCompleted: true })
                    .OrderBy(block => block.Value.LastUsed).Take(blocks.Count - capacity + (capacity / 8)).ToList())
                {
                    blocks.TryRemove(old.Key, out _);
                }
            }
        }
    }

    private sealed class Entry(Lazy<Task<byte[]?>> block)
    {
        public Lazy<Task<byte[]?>> Block => block;

        public long LastUsed { get; set; }
    }
}
