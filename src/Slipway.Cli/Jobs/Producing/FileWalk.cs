using System.Runtime.InteropServices;

namespace Slipway.Cli.Jobs.Producing;

/// <param name="Path">Absolute, through the folder as it was named.</param>
/// <param name="Relative">To that folder, parted by <c>/</c>.</param>
internal sealed record FoundFile(string Path, string Relative, long Size, DateTimeOffset ModifiedAt);

/// <summary>
/// The files of a folder and its subfolders, in the order of their names. Symbolic links to files count as the file; those to folders are
/// followed only when asked to, and no folder is entered twice, so loops end.
/// </summary>
internal sealed partial class FileWalk(IReadOnlyList<Glob> include, IReadOnlyList<Glob> exclude, bool followLinks, Action<string, string> skipped)
{
    /// <summary>Deeper trees are a loop that was not seen as one, such as a bind mount of a folder into itself.</summary>
    private const int Deepest = 200;

    /// <summary>PATH_MAX of Linux.</summary>
    private const int LongestPath = 4096;

    private readonly HashSet<string> entered = new(StringComparer.Ordinal);

    public IEnumerable<FoundFile> Files(string root)
    {
        entered.Clear();
        var folders = new Stack<(string Path, string Relative, int Depth)>();
        folders.Push((root, "", 0));
        while (folders.TryPop(out var folder))
        {
            if (folder.Depth > Deepest)
            {
                skipped(folder.Path, "too deep");
                continue;
            }

            if (!entered.Add(RealPath(folder.Path)))
            {
                skipped(folder.Path, "seen already, by another link");
                continue;
            }

            FileSystemInfo[] entries;
            try
            {
                entries = new DirectoryInfo(folder.Path).GetFileSystemInfos();
            }
            catch (Exception exception) when (exception is UnauthorizedAccessException or IOException)
            {
                skipped(folder.Path, exception is UnauthorizedAccessException ? "not readable" : exception.Message);
                continue;
            }

            Array.Sort(entries, static (a, b) => string.CompareOrdinal(a.Name, b.Name));
            // Last in is first out: the files of a folder come before those below it, in the order of names.
            for (var i = entries.Length - 1; i >= 0; i--)
            {
                var entry = entries[i];
                var relative = folder.Relative + entry.Name;
                if (IsFolder(entry) && !exclude.Any(glob => glob.Matches(relative)))
                {
                    if (entry.LinkTarget is null || followLinks)
                    {
                        folders.Push((entry.FullName, relative + "/", folder.Depth + 1));
                    }
                }
            }

            foreach (var entry in entries)
            {
                if (IsFolder(entry))
                {
                    continue;
                }

                var relative = folder.Relative + entry.Name;
                if ((include.Count == 0 || include.Any(glob => glob.Matches(relative))) && !exclude.Any(glob => glob.Matches(relative)) && Look(entry, relative) is { } found)
                {
                    yield return found;
                }
            }
        }
    }

    private FoundFile? Look(FileSystemInfo entry, string relative)
    {
        try
        {
            var file = entry.LinkTarget is null ? entry : entry.ResolveLinkTarget(returnFinalTarget: true);
            // Sockets, pipes and devices have no content to work on, and opening one can block for ever.
            if (file is not FileInfo { Exists: true } regular || (regular.UnixFileMode, regular.Attributes & FileAttributes.Device) is (_, not 0))
            {
                skipped(entry.FullName, "not a regular file");
                return null;
            }

            return new FoundFile(entry.FullName, relative, regular.Length, regular.LastWriteTimeUtc);
        }
        catch (Exception exception) when (exception is UnauthorizedAccessException or IOException)
        {
            // Gone again, or a link that leads to itself.
            skipped(entry.FullName, exception.Message);
            return null;
        }
    }

    private static bool IsFolder(FileSystemInfo entry) => (entry.Attributes & FileAttributes.Directory) != 0;

    private static string RealPath(string path)
    {
        Span<byte> buffer = stackalloc byte[LongestPath];
        return RealPath(path, ref MemoryMarshal.GetReference(buffer)) == 0 ? path : System.Text.Encoding.UTF8.GetString(buffer[..buffer.IndexOf((byte)0)]);
    }

    [LibraryImport("libc", EntryPoint = "realpath", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint RealPath(string path, ref byte resolved);
}
