namespace Slipway.Content;

/// <summary>
/// Keeps the bytes on this machine within bounds: of what is in the bucket as well, the copy here goes that was not read for longest. What is
/// only here stays, however much it is.
/// </summary>
internal sealed class LocalBytes(SegmentStore store, TieredVolume volume, long? limit, Action<string> report)
{
    private readonly TierCatalog catalog = volume.Catalog;

    /// <summary>Bytes of segments and large files on this machine, as of the last look.</summary>
    public long Used { get; private set; }

    /// <summary>Of these, those that are not in the bucket.</summary>
    public long NotShipped { get; private set; }

    /// <summary>How many files these are.</summary>
    public int NotShippedFiles { get; private set; }

    public void Tidy()
    {
        List<(string Name, long Length, long LastRead, DateTimeOffset ModifiedAt)> droppable = [];
        long used = 0, notShipped = 0;
        var waiting = 0;
        foreach (var (name, file) in Files())
        {
            used += file.Length;
            if (IsShipped(name, file.Length))
            {
                droppable.Add((name, file.Length, volume.LastReadOf(name), file.ModifiedAt));
            }
            else
            {
                notShipped += file.Length;
                waiting++;
            }
        }

        foreach (var (name, length, _, _) in droppable.OrderBy(file => file.LastRead).ThenBy(file => file.ModifiedAt))
        {
            if (limit is null || used <= limit)
            {
                break;
            }

            if (Drop(name))
            {
                used -= length;
            }
        }

        Used = used;
        NotShipped = notShipped;
        NotShippedFiles = waiting;
    }

    private IEnumerable<(string Name, VolumeEntry File)> Files() =>
        volume.Disk.List("segments").Select(file => ($"segments/{file.Name}", file))
            .Concat(Enumerable.Range(0, 256).SelectMany(part => volume.Disk.List($"large/{part:x2}").Select(file => ($"large/{part:x2}/{file.Name}", file))));

    private bool IsShipped(string name, long length) =>
        TieredVolume.SegmentNumber(name) is { } number
            ? catalog.Segment(number) is { } segment && segment.Bytes == length && store.Find(number) is { IsSealed: true } open && open.Length == segment.Length
            : TieredVolume.FileNumber(name) is { } file && catalog.File(file) is { } there && there.Bytes == length;

    private bool Drop(string name)
    {
        try
        {
            if (TieredVolume.SegmentNumber(name) is { } number)
            {
                if (store.Find(number) is not { } segment || catalog.Segment(number) is not { } known || !segment.TryPin())
                {
                    return false;
                }

                try
                {
                    // The stub is durable before the file goes.
                    SegmentStub.Write(volume.Disk, known, SegmentStub.Encode(known, [.. segment.Records()]));
                    return volume.DropLocal(name);
                }
                finally
                {
                    segment.Unpin();
                }
            }

            return volume.DropLocal(name);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            report($"The copy of {name} on this machine could not be dropped: {e.Message}");
            return false;
        }
    }
}
