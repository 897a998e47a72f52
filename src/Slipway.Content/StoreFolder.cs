using Slipway.Native;

namespace Slipway.Content;

/// <summary>Takes possession of a store's folder: the lock of the one process that has it, and the file that says what it is.</summary>
internal static class StoreFolder
{
    public const string Layout = "slipway content store, layout 2";

    /// <summary>Layout 1 had a file for every blob; opening such a store moves it to this layout (see <see cref="LayoutOne"/>).</summary>
    public const string FirstLayout = "slipway content store, layout 1";

    /// <exception cref="ContentStoreException"><see cref="ContentFailure.Unavailable"/>: in use, of another store, or not writable.</exception>
    public static FileLock Take(Guid storeId, string path, out bool isFirstLayout)
    {
        FileLock? folderLock = null;
        try
        {
            Directory.CreateDirectory(path);
            folderLock = Posix.TryLock(Path.Combine(path, "lock")) ?? throw new ContentStoreException(ContentFailure.Unavailable,
                $"The store at {path} is in use by another process. Stop that one, or give this one a folder of its own.");
            var identity = Path.Combine(path, "store");
            if (!File.Exists(identity))
            {
                isFirstLayout = false;
                ThrowUnlessEmpty(path);
                Write(storeId, path);
                return folderLock;
            }

            var found = File.ReadAllText(identity);
            isFirstLayout = found == Text(FirstLayout, storeId);
            return isFirstLayout || found == Text(Layout, storeId)
                ? folderLock
                : throw new ContentStoreException(ContentFailure.Unavailable,
                    $"The folder {path} is not that of store {storeId}: its file 'store' says '{found.ReplaceLineEndings(" ").Trim()}'. Is the right disk mounted?");
        }
        catch (Exception exception)
        {
            folderLock?.Dispose();
            if (exception is IOException or UnauthorizedAccessException)
            {
                throw DiskFailure.Translate(exception, $"The store at {path} can't be opened");
            }

            throw;
        }
    }

    /// <summary>Says that the folder has this layout. Through a rename, as a half-written identity would lock the owner out.</summary>
    public static void Write(Guid storeId, string path)
    {
        var draft = Path.Combine(path, "store.new");
        File.WriteAllText(draft, Text(Layout, storeId));
        using (var handle = File.OpenHandle(draft, FileMode.Open, FileAccess.Write))
        {
            RandomAccess.FlushToDisk(handle);
        }

        File.Move(draft, Path.Combine(path, "store"), overwrite: true);
        Posix.SyncDirectory(path);
    }

    // A store empties its uploads and deletes what it doesn't know: it must never be let loose on somebody else's files.
    private static void ThrowUnlessEmpty(string path)
    {
        var foreign = Directory.EnumerateFileSystemEntries(path).Select(entry => Path.GetFileName(entry)).FirstOrDefault(name => name is not ("lock" or "store.new" or "lost+found"));
        if (foreign is not null)
        {
            throw new ContentStoreException(ContentFailure.Unavailable,
                $"The folder {path} is no store and not empty: it has '{foreign}'. Give the store a folder of its own.");
        }
    }

    private static string Text(string layout, Guid storeId) => $"{layout}\n{storeId}\n";
}
