using System.Collections.Concurrent;

namespace Slipway.Content;

/// <summary>
/// Files of uploads that broke off and can be resumed by their name. They fill the disk like blobs do, so they count to the quota of
/// their space, and what nobody has resumed for a day goes.
/// </summary>
internal sealed class UnfinishedUploads(IVolume volume, TimeProvider time)
{
    /// <summary>How long the bytes of an upload that can be resumed are kept, also over a restart.</summary>
    public static readonly TimeSpan ResumableFor = TimeSpan.FromDays(1);

    // What an earlier process has left has no space until it is resumed: the name is a hash.
    private readonly ConcurrentDictionary<string, (ContentSpace? Space, long Bytes, DateTimeOffset Since)> kept = new(StringComparer.Ordinal);

    /// <summary>An upload broke off; its bytes stay counted.</summary>
    public void Keep(string name, ContentSpace space, long bytes) => kept[name] = (space, bytes, time.GetUtcNow());

    public void LeftOver(string name, DateTimeOffset since) => kept[name] = (null, 0, since);

    /// <summary>An upload goes on, with this many bytes to count from now on.</summary>
    public void Resume(string name, ContentSpace space, long bytes)
    {
        Forget(name);
        space.CountUnfinished(bytes);
    }

    /// <summary>The file is gone, or counted elsewhere.</summary>
    public void Forget(string name)
    {
        if (kept.TryRemove(name, out var upload))
        {
            upload.Space?.CountUnfinished(-upload.Bytes);
        }
    }

    /// <summary>Deletes what nobody came back for.</summary>
    public void Sweep()
    {
        var oldest = time.GetUtcNow() - ResumableFor;
        DeleteWhere(upload => upload.Since < oldest);
    }

    /// <summary>Gives up the oldest of a space for as long as it needs room: nothing else it has is worth less.</summary>
    public void MakeRoom(ContentSpace space, Func<bool> needsRoom)
    {
        foreach (var upload in kept.Where(upload => ReferenceEquals(upload.Value.Space, space)).OrderBy(upload => upload.Value.Since))
        {
            if (!needsRoom())
            {
                return;
            }

            Delete(upload);
        }
    }

    public void Drop(ContentSpace space) => DeleteWhere(upload => ReferenceEquals(upload.Space, space));

    private void DeleteWhere(Func<(ContentSpace? Space, long Bytes, DateTimeOffset Since), bool> isOver)
    {
        foreach (var upload in kept)
        {
            if (isOver(upload.Value))
            {
                Delete(upload);
            }
        }
    }

    private void Delete(KeyValuePair<string, (ContentSpace? Space, long Bytes, DateTimeOffset Since)> upload)
    {
        // Not if it was resumed meanwhile.
        if (kept.TryRemove(upload))
        {
            volume.Delete(upload.Key);
            upload.Value.Space?.CountUnfinished(-upload.Value.Bytes);
        }
    }
}
