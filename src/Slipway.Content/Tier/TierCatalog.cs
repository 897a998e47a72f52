using System.Collections.Concurrent;
using System.Text.Json;

namespace Slipway.Content;

/// <summary>A segment in the bucket, and what it is called here. <paramref name="Length"/> is without the footer, <paramref name="Bytes"/> with.</summary>
internal sealed record CatalogSegment(uint Local, Guid Server, Guid Space, uint Number, long MadeAt, long Length, long Bytes);

/// <summary>A large file in the bucket, and what it is called here.</summary>
internal sealed record CatalogFile(long Local, Guid Server, Guid Space, long Number, long Bytes);

/// <summary>
/// What this server knows of the bucket: which segments and large files are there, what is to be told and what is to be deleted. In memory,
/// and in the file "tier/catalog", to which every change is appended and synced before it counts; opening rewrites it.
/// </summary>
internal sealed class TierCatalog : IDisposable
{
    public const string FileName = "tier/catalog";

    // 8 bits of a large file's number here.
    private const int MaxSlots = 255;

    private readonly IVolume disk;
    private readonly Lock gate = new();
    private readonly ConcurrentDictionary<uint, CatalogSegment> segments = new();
    private readonly ConcurrentDictionary<long, CatalogFile> files = new();
    private readonly ConcurrentDictionary<(Guid Server, uint Number), uint> segmentsByOrigin = new();
    private readonly ConcurrentDictionary<uint, CatalogSegment> givenUpSegments = new();
    private readonly ConcurrentDictionary<long, CatalogFile> givenUpFiles = new();
    private readonly ConcurrentDictionary<Guid, int> slots = new();
    private readonly ConcurrentDictionary<Guid, long> applied = new();
    private readonly ConcurrentDictionary<string, long> deletions = new();
    private readonly ConcurrentDictionary<Guid, bool> dropped = new();
    private readonly ConcurrentDictionary<Guid, bool> takenOver = new();
    private IVolumeFile? file;
    private long end;

    public TierCatalog(IVolume disk)
    {
        this.disk = disk;
        disk.CreateFolder("tier");
        Load();
        if (Self == Guid.Empty)
        {
            Apply(new CatalogLine(CatalogChange.Identity) { Server = Guid.NewGuid() });
        }

        Rewrite();
    }

    /// <summary>What this server is called in the bucket.</summary>
    public Guid Self { get; private set; }

    /// <summary>Highest numbers that segments and large files of this server ever had in the bucket: a second use would mix up two objects.</summary>
    public (uint Segment, long File) Used { get; private set; }

    /// <summary>Name and prefix of the bucket; null until it is known.</summary>
    public string? Bucket { get; private set; }

    /// <summary>SHA-256 of the entry of the own log that was written last, or was about to be.</summary>
    public string? Publishing { get; private set; }

    public IEnumerable<CatalogSegment> Segments => segments.Values;

    public IEnumerable<CatalogFile> Files => files.Values;

    /// <summary>Given up by the engine, and nobody told yet.</summary>
    public IEnumerable<CatalogSegment> GivenUpSegments => givenUpSegments.Values;

    public IEnumerable<CatalogFile> GivenUpFiles => givenUpFiles.Values;

    /// <summary>Objects to be deleted, and when (seconds since 1970).</summary>
    public IEnumerable<KeyValuePair<string, long>> Deletions => deletions;

    /// <summary>Spaces that are deleted; true: everybody was told.</summary>
    public IEnumerable<KeyValuePair<Guid, bool>> Dropped => dropped;

    public IEnumerable<Guid> TakenOver => takenOver.Keys;

    public CatalogSegment? Segment(uint local) => segments.GetValueOrDefault(local);

    public CatalogFile? File(long local) => files.GetValueOrDefault(local);

    public CatalogSegment? SegmentOf(Guid server, uint number) => segmentsByOrigin.TryGetValue((server, number), out var local) ? Segment(local) : null;

    public long Applied(Guid server) => applied.GetValueOrDefault(server);

    public bool IsDropped(Guid space) => dropped.ContainsKey(space);

    /// <summary>This server decides when that one's objects go.</summary>
    public bool Owns(Guid server) => server == Self || takenOver.ContainsKey(server);

    /// <summary>What a large file of a server is called here.</summary>
    public long LocalFile(Guid server, long number)
    {
        if (server == Self)
        {
            return number;
        }

        lock (gate)
        {
            if (!slots.TryGetValue(server, out var slot))
            {
                slot = slots.Count + 1;
                if (slot > MaxSlots)
                {
                    throw new IOException($"This store has known {MaxSlots} other servers; their large files can't be told apart beyond that. Start with an empty folder.");
                }

                Append([new CatalogLine(CatalogChange.Slot) { Server = server, Local = slot }]);
            }

            return ((long)slot << 40) | number;
        }
    }

    /// <summary>Appends changes, makes them durable, and applies them.</summary>
    /// <exception cref="IOException">The disk. Nothing has changed then.</exception>
    public void Append(IReadOnlyCollection<CatalogLine> lines)
    {
        if (lines.Count == 0)
        {
            return;
        }

        lock (gate)
        {
            ObjectDisposedException.ThrowIf(file is null, this);
            var bytes = Encode(lines);
            file.Write(bytes, end);
            file.Sync();
            end += bytes.Length;
            foreach (var line in lines)
            {
                Apply(line);
            }
        }
    }

    public static CatalogLine LineOf(CatalogSegment segment) => new(CatalogChange.Segment)
    {
        Local = segment.Local, Server = segment.Server, Space = segment.Space, Number = segment.Number,
        MadeAt = segment.MadeAt, Length = segment.Length, Bytes = segment.Bytes,
    };

    public static CatalogLine LineOf(CatalogFile file) => new(CatalogChange.File)
    {
        Local = file.Local, Server = file.Server, Space = file.Space, Number = file.Number, Bytes = file.Bytes,
    };

    public void Dispose()
    {
        lock (gate)
        {
            file?.Dispose();
            file = null;
        }
    }

    private void Load()
    {
        if (!disk.Exists(FileName))
        {
            return;
        }

        using var old = disk.Open(FileName, forWriting: false);
        var bytes = new byte[old.Length];
        old.Read(bytes, 0);
        foreach (var range in bytes.AsSpan().Split((byte)'\n'))
        {
            try
            {
                if (range.End.Value < bytes.Length && JsonSerializer.Deserialize(bytes.AsSpan(range), TierJson.Default.CatalogLine) is { } line)
                {
                    Apply(line);
                }
            }
            catch (JsonException)
            {
                // Only the end can be torn: lines are synced before they count.
                return;
            }
        }
    }

    private void Apply(CatalogLine line)
    {
        switch (line.What)
        {
            case CatalogChange.Identity:
                Self = line.Server!.Value;
                break;
            case CatalogChange.Slot:
                slots[line.Server!.Value] = (int)line.Local!.Value;
                break;
            case CatalogChange.Segment:
                var segment = new CatalogSegment(
                    (uint)line.Local!.Value, line.Server!.Value, line.Space!.Value, (uint)line.Number!.Value, line.MadeAt!.Value, line.Length!.Value, line.Bytes!.Value);
                segments[segment.Local] = segment;
                Used = (Math.Max(Used.Segment, segment.Local), Used.File);
                segmentsByOrigin[(segment.Server, segment.Number)] = segment.Local;
                break;
            case CatalogChange.File:
                Used = (Used.Segment, line.Local!.Value < LargeFile.FirstForeign ? Math.Max(Used.File, line.Local.Value) : Used.File);
                files[line.Local.Value] = new CatalogFile(line.Local.Value, line.Server!.Value, line.Space!.Value, line.Number!.Value, line.Bytes!.Value);
                break;
            case CatalogChange.ForgetSegment:
                givenUpSegments.TryRemove((uint)line.Local!.Value, out _);
                RemoveSegment((uint)line.Local.Value);
                break;
            case CatalogChange.ForgetFile:
                givenUpFiles.TryRemove(line.Local!.Value, out _);
                files.TryRemove(line.Local.Value, out _);
                break;
            case CatalogChange.GiveUpSegment:
                if (RemoveSegment((uint)line.Local!.Value) is { } given)
                {
                    givenUpSegments[given.Local] = given;
                }

                break;
            case CatalogChange.GiveUpFile:
                if (files.TryRemove(line.Local!.Value, out var givenFile))
                {
                    givenUpFiles[givenFile.Local] = givenFile;
                }

                break;
            case CatalogChange.Applied:
                applied[line.Server!.Value] = line.Number!.Value;
                break;
            case CatalogChange.Used:
                Used = ((uint)line.Local!.Value, line.Number!.Value);
                break;
            case CatalogChange.Bucket:
                Bucket = line.Key;
                break;
            case CatalogChange.Publishing:
                Publishing = line.Key;
                break;
            case CatalogChange.DeleteLater:
                deletions[line.Key!] = line.At!.Value;
                break;
            case CatalogChange.Deleted:
                deletions.TryRemove(line.Key!, out _);
                break;
            case CatalogChange.Drop:
                dropped.TryAdd(line.Space!.Value, false);
                break;
            case CatalogChange.Dropped:
                dropped[line.Space!.Value] = true;
                break;
            case CatalogChange.TakenOver:
                takenOver[line.Server!.Value] = true;
                break;
        }
    }

    private CatalogSegment? RemoveSegment(uint local)
    {
        if (!segments.TryRemove(local, out var segment))
        {
            return null;
        }

        segmentsByOrigin.TryRemove(new KeyValuePair<(Guid, uint), uint>((segment.Server, segment.Number), local));
        return segment;
    }

    private void Rewrite()
    {
        List<CatalogLine> lines =
        [
            new(CatalogChange.Identity) { Server = Self },
            new(CatalogChange.Used) { Local = Used.Segment, Number = Used.File },
            .. Bucket is null ? (IEnumerable<CatalogLine>)[] : [new CatalogLine(CatalogChange.Bucket) { Key = Bucket }],
            .. Publishing is null ? (IEnumerable<CatalogLine>)[] : [new CatalogLine(CatalogChange.Publishing) { Key = Publishing }],
            .. slots.Select(slot => new CatalogLine(CatalogChange.Slot) { Server = slot.Key, Local = slot.Value }),
            .. segments.Values.Concat(givenUpSegments.Values).Select(LineOf),
            .. files.Values.Concat(givenUpFiles.Values).Select(LineOf),
            .. givenUpSegments.Keys.Select(local => new CatalogLine(CatalogChange.GiveUpSegment) { Local = local }),
            .. givenUpFiles.Keys.Select(local => new CatalogLine(CatalogChange.GiveUpFile) { Local = local }),
            .. applied.Select(server => new CatalogLine(CatalogChange.Applied) { Server = server.Key, Number = server.Value }),
            .. deletions.Select(deletion => new CatalogLine(CatalogChange.DeleteLater) { Key = deletion.Key, At = deletion.Value }),
            .. dropped.Select(space => new CatalogLine(space.Value ? CatalogChange.Dropped : CatalogChange.Drop) { Space = space.Key }),
            .. takenOver.Keys.Select(server => new CatalogLine(CatalogChange.TakenOver) { Server = server }),
        ];
        const string draft = FileName + ".new";
        disk.Delete(draft);
        var bytes = Encode(lines);
        using (var fresh = disk.Create(draft))
        {
            fresh.Write(bytes, 0);
            fresh.Sync();
        }

        disk.Rename(draft, FileName);
        disk.SyncFolder("tier");
        file = disk.Open(FileName, forWriting: true);
        end = bytes.Length;
    }

    private static byte[] Encode(IEnumerable<CatalogLine> lines)
    {
        using var stream = new MemoryStream();
        foreach (var line in lines)
        {
            JsonSerializer.Serialize(stream, line, TierJson.Default.CatalogLine);
            stream.WriteByte((byte)'\n');
        }

        return stream.ToArray();
    }
}
