using System.Runtime.InteropServices;

namespace Slipway.Content;

/// <summary>
/// Where the blobs of one space are: open addressing in memory the garbage collector never sees. 32 bytes a slot and 61 to 85 % of
/// the slots in use, so 38 to 52 bytes a blob.
/// </summary>
/// <remarks>
/// 64 shards, each with its own table, so that growing one copies 1/64 of the blobs under its lock: with 5 million blobs 2.5 MB, about a
/// millisecond. The locks are shared by all spaces: a space without blobs costs 1 KiB.
/// </remarks>
internal sealed unsafe class BlobIndex : IDisposable
{
    public const int Shards = 64;

    // Linear probing: at 85 % a miss looks at 22 slots (11 cache lines in a row) on average, at 61 % at 4.
    private const double MaxLoad = 0.85;
    private const double Growth = 1.4;
    private const int FirstCapacity = 8;

    private static readonly Lock[] Locks = [.. Enumerable.Range(0, Shards).Select(_ => new Lock())];

    private readonly Shard[] shards = new Shard[Shards];
    private bool disposed;

    ~BlobIndex() => Free();

    public long Count
    {
        get
        {
            long count = 0;
            for (var shard = 0; shard < Shards; shard++)
            {
                count += Volatile.Read(ref shards[shard].Count);
            }

            return count;
        }
    }

    /// <summary>Bytes of all tables.</summary>
    public long Bytes => shards.Sum(shard => (long)shard.Capacity * sizeof(IndexEntry));

    public bool TryGet(in BlobKey key, out IndexEntry entry)
    {
        var number = ShardOf(key);
        lock (Locks[number])
        {
            var slot = Find(ref shards[number], IndexEntry.KeyOf(key), IndexEntry.NameOf(key));
            entry = slot is null ? default : *slot;
            return slot is not null;
        }
    }

    /// <summary>Renews the last use when the blob is here with that length.</summary>
    public bool Touch(in BlobKey key, long length, long now)
    {
        var number = ShardOf(key);
        lock (Locks[number])
        {
            var slot = Find(ref shards[number], IndexEntry.KeyOf(key), IndexEntry.NameOf(key));
            if (slot is null || slot->Length != length)
            {
                return false;
            }

            if (slot->LastUsed < now)
            {
                *slot = slot->UsedAt(now);
            }

            return true;
        }
    }

    /// <summary>Puts an entry in, in the place of an older one.</summary>
    /// <returns>True with the entry that was here before.</returns>
    public bool Put(in BlobKey key, in IndexEntry entry, out IndexEntry previous)
    {
        var number = ShardOf(key);
        lock (Locks[number])
        {
            return Put(ref shards[number], entry, out previous);
        }
    }

    /// <summary>Takes an entry out, if it still is at that place. A default <paramref name="place"/> means anywhere.</summary>
    public bool Remove(in BlobKey key, in IndexEntry? place, out IndexEntry removed)
    {
        var number = ShardOf(key);
        lock (Locks[number])
        {
            ref var shard = ref shards[number];
            var slot = Find(ref shard, IndexEntry.KeyOf(key), IndexEntry.NameOf(key));
            if (slot is null || (place is { } wanted && !slot->IsSamePlace(wanted)))
            {
                removed = default;
                return false;
            }

            removed = *slot;
            Clear(ref shard, (int)(slot - shard.Table));
            return true;
        }
    }

    /// <summary>Takes an entry out unless it was used at or after a moment: whoever was told that it is here may rely on it.</summary>
    public bool RemoveUnused(in BlobKey key, in IndexEntry place, long usedBefore, out IndexEntry removed)
    {
        var number = ShardOf(key);
        lock (Locks[number])
        {
            ref var shard = ref shards[number];
            var slot = Find(ref shard, IndexEntry.KeyOf(key), IndexEntry.NameOf(key));
            if (slot is null || !slot->IsSamePlace(place) || slot->LastUsed >= usedBefore)
            {
                removed = default;
                return false;
            }

            removed = *slot;
            Clear(ref shard, (int)(slot - shard.Table));
            return true;
        }
    }

    /// <summary>Points an entry at a copy of its bytes, if it still is where they were copied from.</summary>
    public bool Move(in BlobKey key, in IndexEntry from, in IndexEntry to)
    {
        var number = ShardOf(key);
        lock (Locks[number])
        {
            var slot = Find(ref shards[number], IndexEntry.KeyOf(key), IndexEntry.NameOf(key));
            if (slot is null || !slot->IsSamePlace(from))
            {
                return false;
            }

            *slot = to.UsedAt(slot->LastUsed);
            return true;
        }
    }

    /// <summary>Visits every entry, a shard at a time under its lock; the visitor says which ones stay.</summary>
    public void RetainWhere(Func<IndexEntry, bool> keep)
    {
        for (var number = 0; number < Shards; number++)
        {
            RetainWhere(number, keep);
        }
    }

    /// <summary>Visits every entry of a shard, under its lock; the visitor says which ones stay.</summary>
    public void RetainWhere(int number, Func<IndexEntry, bool> keep)
    {
        lock (Locks[number])
        {
            ref var shard = ref shards[number];
            List<IndexEntry>? gone = null;
            for (var slot = 0; slot < shard.Capacity; slot++)
            {
                if (shard.Table[slot].Name != 0 && !keep(shard.Table[slot]))
                {
                    (gone ??= []).Add(shard.Table[slot]);
                }
            }

            foreach (var entry in gone ?? [])
            {
                Clear(ref shard, (int)(Find(ref shard, entry.Key, entry.Name) - shard.Table));
            }
        }
    }

    /// <summary>Forgets everything, also what is no index at all because it was read from a rotten file.</summary>
    public void Clear()
    {
        for (var number = 0; number < Shards; number++)
        {
            lock (Locks[number])
            {
                NativeMemory.AlignedFree(shards[number].Table);
                shards[number] = default;
            }
        }
    }

    /// <summary>Copies a shard as it lies in memory, free slots included, into a buffer that is made larger when it has to be: what a checkpoint writes.</summary>
    /// <returns>Bytes copied.</returns>
    public int CopyShard(int number, ref byte[] buffer, out int count)
    {
        lock (Locks[number])
        {
            ref var shard = ref shards[number];
            count = shard.Count;
            var slots = new ReadOnlySpan<byte>(shard.Table, shard.Capacity * sizeof(IndexEntry));
            if (buffer.Length < slots.Length)
            {
                buffer = new byte[slots.Length];
            }

            slots.CopyTo(buffer);
            return slots.Length;
        }
    }

    /// <summary>Room for a shard that a checkpoint has; the caller reads into it. Only before the index is in use.</summary>
    public Span<byte> LoadShard(int number, int capacity, int count)
    {
        ref var shard = ref shards[number];
        NativeMemory.AlignedFree(shard.Table);
        shard = new Shard { Table = Allocate(capacity), Capacity = capacity, Count = count };
        return new Span<byte>(shard.Table, capacity * sizeof(IndexEntry));
    }

    public void Dispose()
    {
        disposed = true;
        Clear();
        GC.SuppressFinalize(this);
    }

    private static int ShardOf(in BlobKey key) => key.Hash.AsSpan()[31] & (Shards - 1);

    // The hash is uniform already: scaling 32 bits of it to the capacity needs no power of two.
    private static int SlotOf(ulong key, int capacity) => (int)(((key & 0xffffffff) * (ulong)capacity) >> 32);

    private static IndexEntry* Find(ref Shard shard, ulong key, ulong name)
    {
        if (shard.Count == 0)
        {
            return null;
        }

        for (var slot = SlotOf(key, shard.Capacity); ; slot = slot + 1 == shard.Capacity ? 0 : slot + 1)
        {
            var entry = shard.Table + slot;
            if (entry->Name == name && entry->Key == key)
            {
                return entry;
            }

            if (entry->Name == 0)
            {
                return null;
            }
        }
    }

    private bool Put(ref Shard shard, in IndexEntry entry, out IndexEntry previous)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        var slot = Find(ref shard, entry.Key, entry.Name);
        if (slot is not null)
        {
            previous = *slot;
            *slot = entry;
            return true;
        }

        if (shard.Count + 1 > shard.Capacity * MaxLoad)
        {
            Grow(ref shard);
        }

        Insert(ref shard, entry);
        shard.Count++;
        previous = default;
        return false;
    }

    private static void Insert(ref Shard shard, in IndexEntry entry)
    {
        var slot = SlotOf(entry.Key, shard.Capacity);
        while (shard.Table[slot].Name != 0)
        {
            slot = slot + 1 == shard.Capacity ? 0 : slot + 1;
        }

        shard.Table[slot] = entry;
    }

    private static void Grow(ref Shard shard)
    {
        var grown = new Shard { Capacity = Math.Max(FirstCapacity, (int)(shard.Capacity * Growth)), Count = shard.Count };
        grown.Table = Allocate(grown.Capacity);
        for (var slot = 0; slot < shard.Capacity; slot++)
        {
            if (shard.Table[slot].Name != 0)
            {
                Insert(ref grown, shard.Table[slot]);
            }
        }

        NativeMemory.AlignedFree(shard.Table);
        shard = grown;
    }

    // Closes the gap, so that no search ends early at it: what follows moves up unless that would put it before its own place.
    private static void Clear(ref Shard shard, int gap)
    {
        for (var slot = gap; ;)
        {
            slot = slot + 1 == shard.Capacity ? 0 : slot + 1;
            if (shard.Table[slot].Name == 0)
            {
                break;
            }

            var home = SlotOf(shard.Table[slot].Key, shard.Capacity);
            var stays = gap <= slot ? gap < home && home <= slot : gap < home || home <= slot;
            if (!stays)
            {
                shard.Table[gap] = shard.Table[slot];
                gap = slot;
            }
        }

        shard.Table[gap] = default;
        shard.Count--;
    }

    private static IndexEntry* Allocate(int capacity)
    {
        var bytes = (nuint)capacity * (nuint)sizeof(IndexEntry);
        var table = (IndexEntry*)NativeMemory.AlignedAlloc(bytes, 64);
        NativeMemory.Clear(table, bytes);
        return table;
    }

    private void Free()
    {
        for (var number = 0; number < Shards; number++)
        {
            NativeMemory.AlignedFree(shards[number].Table);
        }
    }

    private struct Shard
    {
        public IndexEntry* Table;
        public int Capacity;
        public int Count;
    }
}
