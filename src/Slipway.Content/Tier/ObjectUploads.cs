namespace Slipway.Content;

/// <summary>Writes an object of any size.</summary>
internal static class ObjectUploads
{
    /// <summary>
    /// In one request up to <see cref="ObjectLimits.OnePutBytes"/>, in parts from there on, and looks afterwards whether the server has what was sent. An existing object is
    /// replaced.
    /// </summary>
    /// <exception cref="ObjectStorageException">Not written, or not provably.</exception>
    public static async ValueTask<StoredObject> WriteAsync(this IObjectStorage storage, string key, ObjectContent content, CancellationToken cancellationToken)
    {
        string? tag = null;
        if (content.Length <= ObjectLimits.OnePutBytes)
        {
            tag = (await storage.PutAsync(key, content, PutCondition.Always, cancellationToken)).Tag;
        }
        else
        {
            await WritePartsAsync(storage, key, content, cancellationToken);
        }

        var found = await storage.HeadAsync(key, cancellationToken);
        return found is not null && found.Length == content.Length && (tag is null || found.Tag == tag)
            ? found
            : throw new ObjectStorageException(
                ObjectFailure.Unavailable,
                $"{key} was written with {content.Length} bytes as {tag ?? "parts"}, but found is {(found is null ? "nothing" : $"{found.Length} bytes as {found.Tag}")}.");
    }

    // One part after the other: what is shipped at once is bounded by the number of shippers.
    private static async ValueTask WritePartsAsync(IObjectStorage storage, string key, ObjectContent content, CancellationToken cancellationToken)
    {
        var upload = await storage.StartPartsAsync(key, cancellationToken);
        var size = ObjectLimits.PartBytes(content.Length);
        List<string> tags = [];
        for (long offset = 0; offset < content.Length; offset += size)
        {
            tags.Add(await storage.PutPartAsync(key, upload, tags.Count + 1, content.Part(offset, Math.Min(size, content.Length - offset)), cancellationToken));
        }

        await storage.FinishPartsAsync(key, upload, tags, cancellationToken);
    }
}
