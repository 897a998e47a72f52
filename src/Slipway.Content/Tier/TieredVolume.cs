using System.Collections.Concurrent;
using System.Globalization;

namespace Slipway.Content;

/// <summary>
/// The files of a store that lie on the disk, in a bucket, or in both. To the engine a segment or large file that is only in the bucket is a
/// file like any other, just not a local one.
/// <code>
///   Open ─► on the disk? ─► yes ─► that
///                        └► no ──► in the catalog? ─► blocks of the object, header and footer from the stub
///   Delete ─► from the disk, and the others are to be told; the object goes later
/// </code>
/// </summary>
internal sealed class TieredVolume(IVolume disk, TierCatalog catalog, TierNames names, RemoteBlocks blocks) : IVolume
{
    private const string SegmentFolder = "segments";
    private const string LargeFolder = "large";

    private readonly ConcurrentDictionary<string, LocalCopy> copies = new();
    // Being shipped, and whether the engine deleted it meanwhile.
    private readonly ConcurrentDictionary<string, bool> shipping = new();
    private ILookup<long, CatalogFile>? filesByFolder;

    public IVolume Disk => disk;

    public TierCatalog Catalog => catalog;

    public long FreeBytes => disk.FreeBytes;

    public static uint? SegmentNumber(string name) =>
        name.StartsWith(SegmentFolder + "/", StringComparison.Ordinal)
        && uint.TryParse(name.AsSpan(SegmentFolder.Length + 1), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var number) ? number : null;

    public static long? FileNumber(string name) =>
        name.StartsWith(LargeFolder + "/", StringComparison.Ordinal) && name.Length > LargeFolder.Length + 4
        && long.TryParse(name.AsSpan(LargeFolder.Length + 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var number) ? number : null;

    public IVolumeFile Create(string name) => SegmentNumber(name) is { } segment ? Opened(name, segment, null, () => disk.Create(name)) : disk.Create(name);

    public IVolumeFile Open(string name, bool forWriting)
    {
        var segment = SegmentNumber(name);
        var number = FileNumber(name);
        return segment is null && number is null
            ? disk.Open(name, forWriting)
            : Opened(name, segment, number, () =>
            {
                try
                {
                    return disk.Open(name, forWriting);
                }
                catch (FileNotFoundException) when (segment is { } s ? catalog.Segment(s) is not null : catalog.File(number!.Value) is not null)
                {
                    return null;
                }
            });
    }

    public bool Exists(string name) =>
        disk.Exists(name)
        || (SegmentNumber(name) is { } segment && catalog.Segment(segment) is not null)
        || (FileNumber(name) is { } number && catalog.File(number) is not null);

    public IReadOnlyList<VolumeEntry> List(string folder)
    {
        var here = disk.List(folder);
        if (folder == SegmentFolder)
        {
            var known = here.Select(file => file.Name).ToHashSet();
            var stubs = disk.List(SegmentStub.Folder).Select(stub => $"{SegmentStub.Folder}/{stub.Name}").ToHashSet();
            return
            [
                .. here,
                .. catalog.Segments
                    .Where(segment => !known.Contains($"{segment.Local:x8}") && stubs.Contains(SegmentStub.NameOf(segment.Local, segment.Length)))
                    .Select(segment => new VolumeEntry($"{segment.Local:x8}", segment.Bytes, DateTimeOffset.FromUnixTimeSeconds(segment.MadeAt))),
            ];
        }

        if (folder.StartsWith(LargeFolder + "/", StringComparison.Ordinal)
            && long.TryParse(folder.AsSpan(LargeFolder.Length + 1), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var part))
        {
            // Asked for all 256 in a row.
            var byFolder = part == 0 || filesByFolder is null ? filesByFolder = catalog.Files.ToLookup(file => file.Local & 0xff) : filesByFolder;
            var known = here.Select(file => file.Name).ToHashSet();
            return
            [
                .. here,
                .. byFolder[part].Select(file => new VolumeEntry($"{file.Local:x12}", file.Bytes, default)).Where(file => !known.Contains(file.Name)),
            ];
        }

        return here;
    }

    public void CreateFolder(string folder) => disk.CreateFolder(folder);

    public void Rename(string from, string to)
    {
        var isOurs = SegmentNumber(from) is not null || FileNumber(from) is not null;
        if (!isOurs || disk.Exists(from))
        {
            disk.Rename(from, to);
        }

        if (isOurs)
        {
            // To quarantine: for the store it is gone.
            GiveUp(from);
        }
    }

    public void Delete(string name)
    {
        disk.Delete(name);
        GiveUp(name);
    }

    public void SyncFolder(string folder) => disk.SyncFolder(folder);

    public bool IsForeign(string name) => SegmentNumber(name) is { } number && catalog.Segment(number) is { } segment && !catalog.Owns(segment.Server);

    public string KeyOf(CatalogSegment segment) => names.Segment(segment.Server, segment.Space, segment.Number, segment.Length);

    public string KeyOf(CatalogFile file) => names.File(file.Server, file.Space, file.Number);

    public ValueTask<int> ReadAsync(CatalogSegment segment, long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        blocks.ReadAsync(KeyOf(segment), segment.Bytes, offset, buffer, readAhead: false, cancellationToken);

    public ValueTask<int> ReadAsync(CatalogFile file, long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        blocks.ReadAsync(KeyOf(file), file.Bytes, offset, buffer, readAhead: true, cancellationToken);

    /// <summary>When the copy here was last read.</summary>
    public long LastReadOf(string name) => copies.TryGetValue(name, out var copy) ? copy.LastRead : 0;

    /// <summary>Deletes the copy on this machine of what is in the bucket. False: somebody hands it to the kernel right now.</summary>
    public bool DropLocal(string name)
    {
        var copy = copies.GetOrAdd(name, static _ => new LocalCopy());
        lock (copy.Open)
        {
            if (FileNumber(name) is not null && copy.Open.Count > 0)
            {
                return false;
            }

            disk.Delete(name);
            foreach (var open in copy.Open)
            {
                open.LeaveDisk();
            }

            return true;
        }
    }

    /// <summary>From now until <see cref="EndShipping"/> a deletion is remembered: the catalog knows nothing of the file yet.</summary>
    public void BeginShipping(string name) => shipping[name] = false;

    /// <returns>True when the engine deleted it meanwhile.</returns>
    public bool EndShipping(string name) => shipping.TryRemove(name, out var deleted) && deleted;

    internal void Closed(LocalCopy copy, TieredFile file)
    {
        lock (copy.Open)
        {
            copy.Open.Remove(file);
        }
    }

    private TieredFile Opened(string name, uint? segment, long? number, Func<IVolumeFile?> open)
    {
        var copy = copies.GetOrAdd(name, static _ => new LocalCopy());
        lock (copy.Open)
        {
            var file = new TieredFile(this, copy, segment, number, open(), name);
            copy.Open.Add(file);
            return file;
        }
    }

    private void GiveUp(string name)
    {
        shipping.TryUpdate(name, true, false);
        if (SegmentNumber(name) is { } number && catalog.Segment(number) is { } segment)
        {
            catalog.Append([new CatalogLine(catalog.Owns(segment.Server) ? CatalogChange.GiveUpSegment : CatalogChange.ForgetSegment) { Local = number }]);
            disk.Delete(SegmentStub.NameOf(number, segment.Length));
        }
        else if (FileNumber(name) is { } fileNumber && catalog.File(fileNumber) is { } file)
        {
            catalog.Append([new CatalogLine(catalog.Owns(file.Server) ? CatalogChange.GiveUpFile : CatalogChange.ForgetFile) { Local = fileNumber }]);
        }

        copies.TryRemove(name, out _);
    }
}
