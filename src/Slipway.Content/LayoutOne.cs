namespace Slipway.Content;

/// <summary>
/// Moves a store of layout 1 (<c>blobs/ab/ab12…</c>, a file for every blob) to segments, once. The old files stay until the new layout says
/// everything and is durable: a crash in between begins anew.
/// </summary>
internal static class LayoutOne
{
    public static async Task MoveAsync(SegmentStore store, Guid storeId, string path, CancellationToken cancellationToken)
    {
        var space = store.Space(storeId);
        var blobs = Path.Combine(path, "blobs");
        foreach (var file in Directory.Exists(blobs) ? new DirectoryInfo(blobs).EnumerateFiles("*", SearchOption.AllDirectories) : [])
        {
            if (Digest.TryParse(file.Name, out var digest))
            {
                await MoveAsync(space, file, new BlobKey(BlobKind.Sha256, digest), cancellationToken);
            }
        }

        await space.CheckpointAsync();
        StoreFolder.Write(storeId, path);
        if (Directory.Exists(blobs))
        {
            Directory.Delete(blobs, recursive: true);
        }
    }

    private static async Task MoveAsync(ContentSpace space, FileInfo file, BlobKey key, CancellationToken cancellationToken)
    {
        if (space.TryFind(key, out _))
        {
            return;
        }

        if (file.Length <= ContentSpace.MaxSmall)
        {
            var bytes = await File.ReadAllBytesAsync(file.FullName, cancellationToken);
            await space.PutAsync(key, bytes, BlobCodec.Raw, bytes.Length, Durability.Written, cancellationToken);
            return;
        }

        await using var upload = space.BeginLarge(resumeName: null);
        await using var source = file.OpenRead();
        var buffer = new byte[1 << 20];
        for (int read; (read = await source.ReadAsync(buffer, cancellationToken)) > 0;)
        {
            await upload.WriteAsync(buffer.AsMemory(0, read), cancellationToken);
        }

        await upload.CommitAsync(key, BlobCodec.Raw, file.Length, Durability.Written, cancellationToken);
    }
}
