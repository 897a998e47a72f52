namespace Slipway.Content.Tests;

/// <summary>
/// A disk in memory that can die. It knows which bytes and names were synced; what a machine finds after power loss is made from that and
/// a random part of the rest, in which writes are torn at any byte. After the death of the process alone, everything that was written is
/// still there but for a part of the write that was under way.
/// </summary>
internal sealed class CrashingVolume : IVolume
{
    private readonly Lock volumeLock = new();
    private readonly Dictionary<string, Node> names;
    private Dictionary<string, Node> durableNames;
    private long operationsLeft = long.MaxValue;
    private Node? torn;

    public CrashingVolume() : this([])
    {
    }

    private CrashingVolume(Dictionary<string, Node> names)
    {
        this.names = names;
        durableNames = new(names);
    }

    public long FreeBytes { get; set; } = long.MaxValue / 2;

    public bool IsDead => Volatile.Read(ref operationsLeft) < 0;

    /// <summary>The next so many writes, syncs, renames and deletes work; then the machine is dead.</summary>
    public void DieAfter(int operations) => Volatile.Write(ref operationsLeft, operations);

    public SegmentStore OpenStore(long reserveBytes = 0, TimeProvider? time = null, List<string>? reports = null, int segmentBytes = 64 << 10, long indexBudget = 1L << 30)
    {
        var store = new SegmentStore(this, time ?? TimeProvider.System, reserveBytes, problem =>
        {
            lock (volumeLock)
            {
                reports?.Add(problem);
            }
        })
        {
            SegmentBytes = segmentBytes,
            IndexBudget = indexBudget,
        };
        store.Start(TimeSpan.FromDays(1));
        return store;
    }

    /// <summary>The disk as the next process finds it.</summary>
    public CrashingVolume AfterKill(Random random)
    {
        lock (volumeLock)
        {
            if (torn is { } node && node.LastWrite > 0)
            {
                // A part of the last write: the kernel had taken so much of it.
                node.Bytes.SetLength(node.Bytes.Length - random.NextInt64(node.LastWrite + 1));
            }

            return new CrashingVolume(names.ToDictionary(pair => pair.Key, pair => pair.Value.Copy())) { FreeBytes = FreeBytes };
        }
    }

    /// <summary>The disk as it is found when the power comes back.</summary>
    public CrashingVolume AfterPowerLoss(Random random)
    {
        lock (volumeLock)
        {
            var found = new Dictionary<string, Node>();
            foreach (var name in names.Keys.Union(durableNames.Keys))
            {
                var now = names.GetValueOrDefault(name);
                var durable = durableNames.GetValueOrDefault(name);
                // A name that was not synced may have made it or not.
                var node = now == durable || random.Next(2) == 0 ? now : durable;
                if (node is not null)
                {
                    found[name] = node.AfterPowerLoss(random);
                }
            }

            return new CrashingVolume(found) { FreeBytes = FreeBytes };
        }
    }

    public IVolumeFile Create(string name)
    {
        lock (volumeLock)
        {
            Count();
            if (names.ContainsKey(name))
            {
                throw new IOException($"{name} is there already.");
            }

            return new MemoryFile(this, name, names[name] = new Node());
        }
    }

    public IVolumeFile Open(string name, bool forWriting)
    {
        lock (volumeLock)
        {
            return new MemoryFile(this, name, names.GetValueOrDefault(name) ?? throw new FileNotFoundException(name));
        }
    }

    public bool Exists(string name)
    {
        lock (volumeLock)
        {
            return names.ContainsKey(name);
        }
    }

    /// <summary>When all files were changed last, as far as the volume tells.</summary>
    public DateTimeOffset ModifiedAt { get; set; } = DateTimeOffset.MaxValue;

    public IReadOnlyList<VolumeEntry> List(string folder)
    {
        lock (volumeLock)
        {
            return [.. names.Where(pair => pair.Key.StartsWith(folder + "/", StringComparison.Ordinal))
                .Select(pair => new VolumeEntry(pair.Key[(folder.Length + 1)..], pair.Value.Bytes.Length, ModifiedAt))];
        }
    }

    public void CreateFolder(string folder)
    {
    }

    public void Rename(string from, string to)
    {
        lock (volumeLock)
        {
            Count();
            if (!names.Remove(from, out var node))
            {
                throw new FileNotFoundException(from);
            }

            names[to] = node;
        }
    }

    public void Delete(string name)
    {
        lock (volumeLock)
        {
            Count();
            names.Remove(name);
        }
    }

    public void SyncFolder(string folder)
    {
        lock (volumeLock)
        {
            Count();
            var inside = (string name) => name.StartsWith(folder + "/", StringComparison.Ordinal) && !name[(folder.Length + 1)..].Contains('/', StringComparison.Ordinal);
            var durable = durableNames.Where(pair => !inside(pair.Key)).ToDictionary();
            foreach (var pair in names.Where(pair => inside(pair.Key)))
            {
                durable[pair.Key] = pair.Value;
            }

            durableNames = durable;
        }
    }

    // The operation the machine dies in is begun and not done.
    private void Count(Node? writing = null)
    {
        var left = --operationsLeft;
        if (left == -1)
        {
            torn = writing;
            return;
        }

        if (left < 0)
        {
            throw new IOException("The machine is dead.");
        }
    }

    /// <summary>A file's bytes, and those of them that were synced.</summary>
    private sealed class Node
    {
        public MemoryStream Bytes { get; private init; } = new();

        public byte[] Synced { get; set; } = [];

        public long LastWrite { get; set; }

        public Node Copy() => From(Bytes.ToArray());

        public Node AfterPowerLoss(Random random)
        {
            var now = Bytes.ToArray();
            if (now.AsSpan().SequenceEqual(Synced))
            {
                return From(now);
            }

            // Any length between the two, and in what was not synced any page may be as it was before, or was never written.
            var length = random.NextInt64(Math.Min(now.Length, Synced.Length), Math.Max(now.Length, Synced.Length) + 1);
            var found = new byte[length];
            for (var page = 0; page < length; page += 512)
            {
                var from = random.Next(3) == 0 ? Synced : now;
                if (page < from.Length)
                {
                    from.AsSpan(page, (int)Math.Min(512, Math.Min(from.Length, length) - page)).CopyTo(found.AsSpan(page));
                }
            }

            // What was synced and not written to since is as it was.
            var same = Synced.AsSpan().CommonPrefixLength(now);
            Synced.AsSpan(0, (int)Math.Min(same, length)).CopyTo(found);
            return From(found);
        }

        private static Node From(byte[] bytes)
        {
            var node = new Node { Bytes = new MemoryStream() };
            node.Bytes.Write(bytes);
            node.Synced = bytes;
            return node;
        }
    }

    private sealed class MemoryFile(CrashingVolume volume, string name, Node node) : IVolumeFile
    {
        public string Path => name;

        public long Length
        {
            get
            {
                lock (volume.volumeLock)
                {
                    return node.Bytes.Length;
                }
            }
        }

        public int Read(Span<byte> buffer, long offset)
        {
            lock (volume.volumeLock)
            {
                if (offset >= node.Bytes.Length)
                {
                    return 0;
                }

                node.Bytes.Position = offset;
                return node.Bytes.Read(buffer);
            }
        }

        public int Read(Memory<byte> head, Memory<byte> rest, long offset)
        {
            var read = Read(head.Span, offset);
            return read + Read(rest.Span, offset + read);
        }

        public ValueTask<int> ReadAsync(Memory<byte> buffer, long offset, CancellationToken cancellationToken) => ValueTask.FromResult(Read(buffer.Span, offset));

        public void Write(ReadOnlySpan<byte> bytes, long offset)
        {
            lock (volume.volumeLock)
            {
                volume.Count(node);
                node.LastWrite = Math.Max(0, offset + bytes.Length - node.Bytes.Length);
                node.Bytes.Position = offset;
                node.Bytes.Write(bytes);
                if (volume.operationsLeft < 0)
                {
                    throw new IOException("The machine died in a write.");
                }
            }
        }

        public ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, long offset, CancellationToken cancellationToken)
        {
            Write(bytes.Span, offset);
            return ValueTask.CompletedTask;
        }

        public void Truncate(long length)
        {
            lock (volume.volumeLock)
            {
                volume.Count();
                node.Bytes.SetLength(length);
            }
        }

        public void Sync()
        {
            lock (volume.volumeLock)
            {
                volume.Count();
                node.Synced = node.Bytes.ToArray();
            }
        }

        public void Dispose()
        {
        }
    }
}
